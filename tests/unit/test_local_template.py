"""template.yaml as the local cloud reads it."""

import textwrap

import pytest

from local.template.cloudformation import TemplateError
from local.template.reader import load, merged

FUNCTION = """
  F:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: app.handler
      CodeUri: code
"""


@pytest.fixture
def template(tmp_path):
    (tmp_path / "code").mkdir()

    def read(text, **parameters):
        path = tmp_path / "template.yaml"
        path.write_text(textwrap.dedent(text))
        return load(path, parameters)

    return read


@pytest.fixture
def variable(template):
    """Reads a template with one function whose variable V has the given YAML value."""

    def read(value, head="", **parameters):
        environment = f"      Environment: {{Variables: {{V: {value}}}}}"
        text = f"{head}\nResources:{FUNCTION}{environment}"
        return template(text, **parameters).functions["F"].environment.get("V")

    return read


def test_the_projects_own_template_is_read_whole():
    read = load()

    assert {route.key: read.functions[route.function].name for route in read.routes}.items() >= {
        "GET /api/v1/system/health": "health",
        "POST /api/jobs/search": "search",
        "GET /api/jobs/{id}": "search",
    }.items()
    assert read.tables["PacerTable"].keys == ("pk",)
    assert read.tables["PacerTable"].ttl_attribute == "expires_at"
    assert read.functions["SearchFunction"].environment["PACER_TABLE"] == "PacerTable"
    assert read.functions["SearchFunction"].environment["TOKEN_KEY_ID"] == read.keys["TokenKey"].arn
    assert read.functions["SearchFunction"].handler == "app.handler"  # of Globals
    assert read.api.throttle_burst == 100
    assert "$context.routeKey" in read.api.access_log_format


def test_a_keys_arn_never_changes():
    arn = load().keys["TokenKey"].arn

    assert arn == "arn:aws:kms:us-east-1:123456789012:key/dc9ae910-8d58-5f3b-9ba5-7979b4d06a89"


HEAD = """
Parameters:
  Name: {Type: String, Default: dev}
  Count: {Type: Number, Default: 3}
  Given: {Type: String}
  Ids: {Type: CommaDelimitedList, Default: "a,b"}
Conditions:
  IsDev: !Equals [!Ref Name, dev]
  IsProd: !Not [!Condition IsDev]
  Both: !And [!Condition IsDev, !Equals [!Ref Count, "3"]]
  Either: !Or [!Condition IsProd, !Equals [1, 2]]
"""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("!Ref Name", "dev"),
        ("!Ref Count", "3"),
        ("!Ref Given", "local-Given"),
        ("{Ref: Name}", "dev"),
        ("!Ref AWS::Region", "us-east-1"),
        ("!Ref F", "F"),
        ("!GetAtt F.Arn", "arn:aws:lambda:us-east-1:123456789012:function:F"),
        ("{'Fn::GetAtt': [F, Arn]}", "arn:aws:lambda:us-east-1:123456789012:function:F"),
        ('!Sub "${Name}-${AWS::AccountId}-${!Name}"', "dev-123456789012-${Name}"),
        ('!Sub ["${A}/${B}/${F}", {A: !Ref Name, B: x}]', "dev/x/F"),
        ('!Sub "${F.Arn}"', "arn:aws:lambda:us-east-1:123456789012:function:F"),
        ('!Join ["-", [!Ref Name, x, 1]]', "dev-x-1"),
        ('!Join ["+", !Ref Ids]', "a+b"),
        ("!If [IsDev, yes-it-is, no]", "yes-it-is"),
        ("!If [IsProd, a, b]", "b"),
        ("!If [Both, a, b]", "a"),
        ("!If [Either, a, b]", "b"),
        ("!If [IsProd, a, !Ref AWS::NoValue]", None),
        ("true", "true"),
        ("7", "7"),
    ],
)  # fmt: skip
def test_intrinsic_functions_have_cloudformations_values(variable, value, expected):
    assert variable(value, HEAD) == expected


def test_a_given_parameter_wins_over_its_default(variable):
    assert variable("!If [IsProd, !Ref Name, b]", HEAD, Name="prod") == "prod"


def test_an_unknown_parameter_is_refused(variable):
    with pytest.raises(TemplateError, match=r"declares no Nam$"):
        variable("x", HEAD, Nam="prod")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("!ImportValue x", r"Environment\.Variables\.V: Fn::ImportValue is not supported"),
        ("!Ref Nobody", r"Environment\.Variables\.V: there is no parameter or resource 'Nobody'"),
        (
            "!GetAtt F.Version",
            r"Environment\.Variables\.V: AWS::Serverless::Function has no Version locally",
        ),
        ("!If [Unheard, a, b]", r"Environment\.Variables\.V: there is no condition 'Unheard'"),
    ],
)
def test_what_is_not_supported_is_refused_with_its_place(variable, value, problem):
    with pytest.raises(TemplateError, match=r"Resources\.F\.Properties\." + problem):
        variable(value)


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ("Runtime: nodejs22.x", r"Resources\.F\.Properties\.Runtime: nodejs22\.x"),
        ("CodeUri: nowhere", r"Resources\.F\.Properties\.CodeUri: there is no folder nowhere"),
        ("CodeUri: s3://bucket/x", r"Resources\.F\.Properties\.CodeUri: only a folder"),
        (
            "Events: {E: {Type: Kafka}}",
            r"Resources\.F\.Properties\.Events\.E: events of type Kafka",
        ),
        (
            "Events: {E: {Type: HttpApi, Properties: {Path: /, Method: GET, Auth: {}}}}",
            r"Events\.E: Auth does not run",
        ),
    ],
)
def test_a_function_that_cannot_run_locally_is_refused(template, properties, problem):
    text = f"Resources:{FUNCTION}"
    name = properties.partition(":")[0]
    lines = [line for line in text.splitlines() if f" {name}:" not in line]

    with pytest.raises(TemplateError, match=problem):
        template("\n".join([*lines, f"      {properties}"]))


def test_a_serverless_resource_of_an_unknown_kind_is_refused(template):
    with pytest.raises(TemplateError, match=r"Resources\.X: AWS::Serverless::StateMachine"):
        template("Resources: {X: {Type: 'AWS::Serverless::StateMachine'}}")


def test_a_resource_whose_condition_does_not_hold_is_not_there(template):
    table = "{Type: 'AWS::DynamoDB::Table', Condition: Never, Properties: {}}"

    read = template(f"Conditions: {{Never: !Equals [a, b]}}\nResources: {{T: {table}}}")

    assert read.tables == {}


def test_text_that_is_no_template_is_refused(template):
    with pytest.raises(TemplateError, match="no Resources"):
        template("Hello: world")
    with pytest.raises(TemplateError, match="line 1"):
        template("a: [")


@pytest.mark.parametrize(
    ("base", "own", "result"),
    [
        ({"a": 1, "b": {"x": 1}}, {"b": {"y": 2}}, {"a": 1, "b": {"x": 1, "y": 2}}),
        ([1], [2], [1, 2]),
        (1, 2, 2),
        ({"Ref": "A"}, {"Ref": "B"}, {"Ref": "B"}),
        ({"a": 1}, {"Fn::If": ["c", {}, {}]}, {"Fn::If": ["c", {}, {}]}),
        (None, 2, 2),
        (1, None, 1),
    ],
)
def test_globals_merge_as_sam_merges_them(base, own, result):
    assert merged(base, own) == result


def test_globals_reach_every_function(template):
    read = template(f"""
Globals:
  Function:
    Timeout: 7
    Layers: [L1]
    Environment: {{Variables: {{A: "1", B: "1"}}}}
Resources:{FUNCTION}      Layers: [L2]
      Environment: {{Variables: {{B: "2"}}}}
""")

    function = read.functions["F"]
    assert function.timeout_s == 7
    assert function.layers == ("L1", "L2")
    assert function.environment == {"A": "1", "B": "2"}
    assert function.memory_mb == 128
