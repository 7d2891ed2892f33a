"""database.yaml: what it creates, and that its outputs are what template.yaml's parameters need.

moto creates the network from it. Of RDS, moto's CloudFormation knows no clusters and leaves out
most properties of an instance: so both are created with RDS's API from the template's properties.
"""

from __future__ import annotations

import json

import pytest
import yaml

from cli.commands.cloud import parameters
from local.settings import REPOSITORY
from local.template.cloudformation import read

FILE = REPOSITORY / "database.yaml"
STACK = "ullgetthejob-core-dev-database"
OF_RDS = ("ClusterParameters", "Cluster", "ClusterInstance", "InstanceParameters", "Instance")
OF_THE_NETWORK = ("SubnetIds", "SecurityGroupIds")
# References, which the API takes as values.
REFERENCES = {
    "EngineVersion": "16.15",
    "BackupRetentionPeriod": 7,
    "DeletionProtection": True,
    "ServerlessV2ScalingConfiguration": {"MinCapacity": 0.5, "MaxCapacity": 4},
}
# moto says so of the rules and the endpoint, which it does not evaluate.
pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse")


@pytest.fixture(scope="module")
def template():
    return read(FILE)


def create_stack(operator, body, **given):
    """Create the stack; return its outputs."""
    client = operator.client("cloudformation")
    client.create_stack(
        StackName=STACK,
        TemplateBody=body,
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
    )
    (stack,) = client.describe_stacks(StackName=STACK)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def create_network(operator, template, **given):
    """Create what the template has beside RDS; return its outputs."""
    kept = {n: r for n, r in template["Resources"].items() if n not in OF_RDS}
    outputs = {name: template["Outputs"][name] for name in OF_THE_NETWORK}
    return create_stack(
        operator, json.dumps({**template, "Resources": kept, "Outputs": outputs}), **given
    )


def properties_of(template, name, *without):
    """Return the properties of a resource of RDS as its API takes them."""
    properties = dict(template["Resources"][name]["Properties"])
    values = {key: value for key, value in REFERENCES.items() if key in properties}
    return {k: v for k, v in (properties | values).items() if k not in without}


def test_outputs_are_parameters_of_the_stage(template):
    declared = parameters.declarations()
    assert set(template["Outputs"]) == {
        *(name for name in declared if name.startswith("Database")),
        "SubnetIds",
        "SecurityGroupIds",
    }


def test_subnets_are_private_and_in_two_zones(operator, template):
    outputs = create_network(operator, template)
    ec2 = operator.client("ec2")
    subnets = outputs["SubnetIds"].split(",")
    described = ec2.describe_subnets(SubnetIds=subnets)["Subnets"]
    assert len({subnet["AvailabilityZone"] for subnet in described}) == 2
    associated = [{"Name": "association.subnet-id", "Values": subnets}]
    tables = ec2.describe_route_tables(Filters=associated)["RouteTables"]
    routes = [route for table in tables for route in table["Routes"]]
    assert not any(route.get("GatewayId", "").startswith("igw-") for route in routes)


def test_subnets_reach_hh_through_one_address(operator, template):
    route = template["Resources"]["PrivateRoute"]["Properties"]  # moto's route has no gateway
    assert (route["DestinationCidrBlock"], route["NatGatewayId"]) == (
        "0.0.0.0/0",
        {"Ref": "NatGateway"},
    )
    create_network(operator, template)
    (gateway,) = operator.client("ec2").describe_nat_gateways()["NatGateways"]
    (address,) = gateway["NatGatewayAddresses"]
    assert address["PublicIp"]


def test_only_the_functions_reach_the_database(operator, template):
    outputs = create_network(operator, template)
    groups = operator.client("ec2").describe_security_groups()["SecurityGroups"]
    (group,) = [group for group in groups if "for its functions alone" in group["Description"]]
    (rule,) = group["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"]) == (5432, 5432)
    assert rule["IpRanges"] == []
    (source,) = rule["UserIdGroupPairs"]
    assert source["GroupId"] == outputs["SecurityGroupIds"]


def test_network_of_the_operator_is_used(operator, template):
    ec2 = operator.client("ec2")
    before = ec2.describe_vpcs()["Vpcs"]
    vpc = before[0]["VpcId"]
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    given = ",".join(subnet["SubnetId"] for subnet in subnets[:2])
    outputs = create_network(operator, template, VpcId=vpc, SubnetIds=given)
    assert outputs["SubnetIds"] == given
    assert ec2.describe_vpcs()["Vpcs"] == before
    assert ec2.describe_nat_gateways()["NatGateways"] == []


def test_cluster_has_half_a_unit_at_least_and_is_kept(operator, template):
    scaling = template["Resources"]["Cluster"]["Properties"]["ServerlessV2ScalingConfiguration"]
    assert scaling["MinCapacity"] == REFERENCES["ServerlessV2ScalingConfiguration"]["MinCapacity"]
    groups = ("DBClusterParameterGroupName", "DBSubnetGroupName", "VpcSecurityGroupIds")
    rds = operator.client("rds")
    made = rds.create_db_cluster(
        DBClusterIdentifier="core", **properties_of(template, "Cluster", *groups)
    )["DBCluster"]
    assert made["StorageEncrypted"]
    assert made["DeletionProtection"]
    assert made["BackupRetentionPeriod"] == 7
    assert_managed(operator, made)
    properties = properties_of(template, "ClusterInstance", "DBClusterIdentifier")
    member = rds.create_db_instance(
        DBInstanceIdentifier="core-1", DBClusterIdentifier="core", **properties
    )["DBInstance"]
    assert member["DBInstanceClass"] == "db.serverless"
    assert not member["PubliclyAccessible"]


def test_instance_is_private_encrypted_and_kept(operator, template):
    groups = ("DBParameterGroupName", "DBSubnetGroupName", "VPCSecurityGroups")
    properties = properties_of(template, "Instance", *groups)
    properties["AllocatedStorage"] = int(properties["AllocatedStorage"])
    made = operator.client("rds").create_db_instance(DBInstanceIdentifier="core", **properties)
    instance = made["DBInstance"]
    assert instance["DBInstanceClass"] == "db.t4g.micro"
    assert instance["StorageEncrypted"]
    assert instance["DeletionProtection"]
    assert instance["BackupRetentionPeriod"] == 7
    assert not instance["PubliclyAccessible"]
    assert_managed(operator, instance)


def assert_managed(operator, made):
    """Assert that RDS keeps the password in a secret of the form that Core reads."""
    arn = made["MasterUserSecret"]["SecretArn"]
    assert parameters.find_malformed({"DatabaseSecretArn": arn}) == []
    assert made["MasterUsername"] == "ullgetthejob"


@pytest.mark.parametrize("name", ["Cluster", "Instance"])
def test_deleted_database_leaves_a_snapshot(template, name):
    resource = template["Resources"][name]
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Snapshot", "Snapshot")


def test_both_kinds_have_the_same_server_parameters(template):
    resources = template["Resources"]
    cluster, instance = resources["ClusterParameters"], resources["InstanceParameters"]
    assert cluster["Properties"]["Parameters"] == instance["Properties"]["Parameters"]


def test_init_copies_the_outputs(operator, template, monkeypatch):
    managed = operator.create_secret("rds!cluster-1", {"username": "u", "password": "p"})
    outputs = {
        "DatabaseSecretArn": managed,
        "DatabaseHost": "core.cluster-1.eu-central-1.rds.amazonaws.com",
        "DatabasePort": "5432",
        "DatabaseName": "ullgetthejob",
        "DatabaseTlsRootCertificates": "rds",
        "SubnetIds": "subnet-1,subnet-2",
        "SecurityGroupIds": "sg-1",
    }
    assert set(outputs) == set(template["Outputs"])
    topic = {"Topic": {"Type": "AWS::SNS::Topic"}}
    values = {name: {"Value": value} for name, value in outputs.items()}
    create_stack(operator, json.dumps({"Resources": topic, "Outputs": values}))
    monkeypatch.setenv("UGTJ_HH_CLIENT_ID", "an-id")
    monkeypatch.setenv("UGTJ_HH_CLIENT_SECRET", "the-application-secret")
    registered = ("--user-agent", "A/1.0 (me@jobs.test)", "--redirect-uri", "https://jobs.test/x")
    code, _, err = operator.run("init", *registered)
    assert code == 0, err
    written = yaml.safe_load(operator.file.read_text())
    assert {name: written[name] for name in outputs} == outputs
    listed = operator.client("secretsmanager").list_secrets()["SecretList"]
    assert f"{STACK.removesuffix('-database')}/database" not in {
        secret["Name"] for secret in listed
    }
    problems = {problem["check"] for problem in operator.problems()}
    assert problems <= {"api gateway"}  # moto creates no AWS::ApiGateway::Account
