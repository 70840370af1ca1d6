"""The files that the real systems are started with: everything on 127.0.0.1, in one folder, small."""

import base64
import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.real.artifacts import Artifacts

USER: Final = "admin"
PASSWORD: Final = "admin"
CORES: Final = ("vertex_index", "edge_index", "fulltext_index")
PARTITIONS: Final = 3
"""Of ``ATLAS_ENTITIES``: Atlas sends without a key, so an entity's events come in any order, as with a company's."""


@dataclass(frozen=True)
class Ports:
    """Of 127.0.0.1, chosen once a folder: Atlas remembers where its index is."""

    kafka: int
    controller: int
    solr: int
    atlas: int


def write(folder: Path, ports: Ports, artifacts: Artifacts) -> None:
    """Everything but the data; may be called again."""
    home = folder / "atlas"
    for made in (folder / "kafka", home / "conf", home / "data", home / "logs", folder / "solr"):
        made.mkdir(parents=True, exist_ok=True)
    (folder / "kafka" / "server.properties").write_text(_kafka(folder, ports))
    _write_solr(folder / "solr", ports, artifacts)
    (home / "conf" / "atlas-application.properties").write_text(_atlas(home, ports))
    (home / "conf" / "log4j.xml").write_text(_LOG4J)
    salted = hashlib.sha256(f"{PASSWORD}{{{USER}}}".encode()).hexdigest()  # as Atlas does it
    (home / "conf" / "users-credentials.properties").write_text(f"{USER}=ADMIN::{salted}\n")


def cluster_id(seed: bytes) -> str:
    """Of a Kafka that is formatted: 16 bytes in base64."""
    return base64.urlsafe_b64encode(hashlib.md5(seed, usedforsecurity=False).digest()).decode().rstrip("=")


def _kafka(folder: Path, ports: Ports) -> str:
    return f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{ports.controller}
listeners=PLAINTEXT://127.0.0.1:{ports.kafka},CONTROLLER://127.0.0.1:{ports.controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{ports.kafka}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder / "kafka" / "data"}
num.partitions=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"""


def _write_solr(folder: Path, ports: Ports, artifacts: Artifacts) -> None:
    (folder / "solr.xml").write_text("<solr/>\n")
    # Its main method knows one port only; Jetty's own runner of XML files gives it another.
    (folder / "runner.xml").write_text(f"""\
<?xml version="1.0"?>
<!DOCTYPE Configure PUBLIC "-//Jetty//Configure//EN" "http://www.eclipse.org/jetty/configure_9_3.dtd">
<Configure class="org.apache.solr.client.solrj.embedded.JettySolrRunner">
  <Arg type="java.lang.String">{folder}</Arg>
  <Arg type="java.lang.String">/solr</Arg>
  <Arg type="int">{ports.solr}</Arg>
  <Call name="start"/>
</Configure>
""")
    for core in CORES:
        if not (folder / core).exists():
            shutil.copytree(artifacts.solr_core, folder / core / "conf")
            (folder / core / "core.properties").write_text(f"name={core}\n")


def _atlas(home: Path, ports: Ports) -> str:
    return f"""\
atlas.graph.storage.backend=berkeleyje
atlas.graph.storage.directory={home / "data" / "berkeley"}
atlas.graph.storage.lock.wait-time=300
atlas.EntityAuditRepository.impl=org.apache.atlas.repository.audit.InMemoryEntityAuditRepository
atlas.graph.index.search.backend=solr
atlas.graph.index.search.solr.mode=http
atlas.graph.index.search.solr.http-urls=http://127.0.0.1:{ports.solr}/solr
atlas.graph.index.search.solr.wait-searcher=true
atlas.graph.index.search.max-result-set-size=150
atlas.notification.embedded=false
atlas.notification.create.topics=false
atlas.notification.topics=ATLAS_HOOK,ATLAS_ENTITIES
atlas.kafka.bootstrap.servers=127.0.0.1:{ports.kafka}
atlas.kafka.zookeeper.connect=127.0.0.1:1
atlas.kafka.hook.group.id=atlas
atlas.kafka.enable.auto.commit=false
atlas.kafka.auto.offset.reset=earliest
atlas.server.bind.address=127.0.0.1
atlas.server.http.port={ports.atlas}
atlas.rest.address=http://127.0.0.1:{ports.atlas}
atlas.enableTLS=false
atlas.authentication.method.kerberos=false
atlas.authentication.method.file=true
atlas.authentication.method.ldap.type=none
atlas.authentication.method.file.filename={home / "conf" / "users-credentials.properties"}
atlas.authorizer.impl=simple
atlas.server.ha.enabled=false
atlas.search.gremlin.enable=false
"""


_LOG4J: Final = """\
<?xml version="1.0" encoding="UTF-8" ?>
<!DOCTYPE log4j:configuration SYSTEM "log4j.dtd">
<log4j:configuration xmlns:log4j="http://jakarta.apache.org/log4j/">
<appender name="c" class="org.apache.log4j.ConsoleAppender">
<layout class="org.apache.log4j.PatternLayout">
<param name="ConversionPattern" value="%d %-5p [%t] %m (%C{1}:%L)%n"/>
</layout>
</appender>
<logger name="org.apache.zookeeper"><level value="off"/></logger>
<logger name="org.apache.solr"><level value="error"/></logger>
<logger name="org.apache.lucene"><level value="error"/></logger>
<root><priority value="warn"/><appender-ref ref="c"/></root>
</log4j:configuration>
"""
