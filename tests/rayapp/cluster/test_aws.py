"""What Ray's AWS provider does with the cluster file, against a simulated AWS: who gets in."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

# What ray up does to a cluster file before it starts a machine; Ray has no public name for it.
from ray.autoscaler._private.aws import config as provider
from ray.autoscaler._private.aws import utils

import rayapp

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")

CLUSTER = Path(rayapp.__file__).parents[1] / "cluster.yaml"
REGION = "us-west-2"
OWN = "203.0.113.0/24"

Ec2 = Any
"""A client of boto3's, which makes its classes at run time."""


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ec2]:
    """EC2 of a fresh account."""
    # Ray keeps the key pair that it makes there.
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    utils.resource_cache.cache_clear()
    with moto.mock_aws():
        boto3.client("iam").create_instance_profile(InstanceProfileName="kirl-head")
        yield boto3.client("ec2", region_name=REGION)


def groups(account: Ec2) -> dict[str, list[dict[str, Any]]]:
    """Rules by the group's name."""
    found = account.describe_security_groups()["SecurityGroups"]
    return {one["GroupName"]: one["IpPermissions"] for one in found}


def addresses(rules: list[dict[str, Any]]) -> dict[int | None, list[str]]:
    """Who may come from outside, by port."""
    return {
        rule.get("FromPort"): [one["CidrIp"] for one in rule["IpRanges"]]
        for rule in rules
        if rule["IpRanges"]
    }


def made_as_the_file_says(account: Ec2) -> str:
    """What the three commands at the head of cluster.yaml make; returns the group's id."""
    vpc = account.describe_vpcs()["Vpcs"][0]["VpcId"]
    group: str = account.create_security_group(
        GroupName="kirl-cluster", Description="kirl", VpcId=vpc
    )["GroupId"]
    account.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp=OWN
    )
    inside = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    account.authorize_security_group_ingress(GroupId=group, IpPermissions=[inside])
    return group


def test_ray_takes_the_group_that_is_named_and_leaves_it_as_it_is(account: Ec2) -> None:
    cluster = yaml.safe_load(CLUSTER.read_text())
    kinds = cluster["available_node_types"].values()
    named = {group for kind in kinds for group in kind["node_config"]["SecurityGroupIds"]}
    assert len(named) == 1
    group = made_as_the_file_says(account)
    for kind in kinds:
        kind["node_config"]["SecurityGroupIds"] = [group]
    before = groups(account)

    taken = provider.bootstrap_aws(cluster)

    assert groups(account) == before
    assert addresses(before["kirl-cluster"]) == {22: [OWN]}
    for kind in taken["available_node_types"].values():
        assert kind["node_config"]["SecurityGroupIds"] == [group]
        assert len(kind["node_config"]["SubnetIds"]) == 3


def test_a_group_that_ray_makes_lets_everybody_in_whatever_it_is_told(account: Ec2) -> None:
    cluster = copy.deepcopy(yaml.safe_load(CLUSTER.read_text()))
    for kind in cluster["available_node_types"].values():
        del kind["node_config"]["SecurityGroupIds"]
    rule = {"FromPort": 22, "ToPort": 22, "IpProtocol": "tcp", "IpRanges": [{"CidrIp": OWN}]}
    cluster["provider"]["security_group"] = {"GroupName": "by-ray", "IpPermissions": [rule]}

    provider.bootstrap_aws(cluster)

    # Should Ray mend this one day, cluster.yaml can go back to the shorter way.
    assert "0.0.0.0/0" in addresses(groups(account)["by-ray"])[22]
