"""``python -m tests.integration.journey.by_pyatlan URL TOKEN WORKFLOW NAME``: what somebody with pyatlan would type.

Prints the guid of the run. A process of its own: pyatlan takes 3 s to import and warns of what it is made of.
"""

import sys

from pyatlan.client.atlan import AtlanClient
from pyatlan.model.assets import WorkflowRun


def main(url: str, token: str, workflow: str, name: str) -> None:
    run = WorkflowRun(attributes=WorkflowRun.Attributes())
    run.name = name
    run.qualified_name = f"by-hand/{name}"
    run.workflow_run_workflow_guid = workflow
    answer = AtlanClient(base_url=url, api_key=token).asset.save(run)
    print(answer.assets_created(WorkflowRun)[0].guid)


if __name__ == "__main__":
    main(*sys.argv[1:])
