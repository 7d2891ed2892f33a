"""The local cloud's reader of template.yaml."""

import textwrap
from datetime import UTC, datetime

import pytest

from local.template.cloudformation import TemplateError
from local.template.reader import load, merged
from local.template.resources import EventInvokeConfig, WebSocketApi

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
    """Return a reader of a template with a function whose variable V has the given YAML value."""

    def read(value, head="", **parameters):
        environment = f"      Environment: {{Variables: {{V: {value}}}}}"
        text = f"{head}\nResources:{FUNCTION}{environment}"
        return template(text, **parameters).functions["F"].environment.get("V")

    return read


def test_own_template_is_read_completely():
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
    assert read.websocket is not None
    assert read.websocket.stage == "ws"
    assert set(read.websocket.routes) == {"$connect", "$disconnect", "$default"}
    assert read.tables["ConnectionTable"].keys == ("pk", "sk")


@pytest.mark.parametrize(("concurrency", "at_once"), [("full", 57), ("small", 20), ("none", None)])
def test_concurrency_of_own_template_follows_its_parameter(concurrency, at_once):
    read = load(parameters={"Concurrency": concurrency})

    assert read.functions["SearchFunction"].reserved_concurrency == at_once
    assert read.api.route_throttles["POST /api/jobs/search"][1] == (at_once or 57)


def test_value_that_no_mapping_has_is_refused(variable):
    head = "Mappings: {M: {a: {b: 1}}}\nParameters: {Mode: {Type: String, Default: b}}"

    assert variable("!FindInMap [M, a, !Ref Mode]", head) == "1"
    with pytest.raises(TemplateError, match="no mapping has M / a / c"):
        variable("!FindInMap [M, a, c]", head)


def test_key_arn_is_stable():
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
        ("!Ref F.Alias", "arn:aws:lambda:us-east-1:123456789012:function:F"),
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
def test_intrinsic_functions_match_cloudformation(variable, value, expected):
    assert variable(value, HEAD) == expected


def test_given_parameter_overrides_its_default(variable):
    assert variable("!If [IsProd, !Ref Name, b]", HEAD, Name="prod") == "prod"


def test_unknown_parameter_is_refused(variable):
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
def test_unsupported_element_is_refused_with_its_location(variable, value, problem):
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
def test_function_that_cannot_run_locally_is_refused(template, properties, problem):
    text = f"Resources:{FUNCTION}"
    name = properties.partition(":")[0]
    lines = [line for line in text.splitlines() if f" {name}:" not in line]

    with pytest.raises(TemplateError, match=problem):
        template("\n".join([*lines, f"      {properties}"]))


def test_unknown_serverless_resource_type_is_refused(template):
    with pytest.raises(TemplateError, match=r"Resources\.X: AWS::Serverless::StateMachine"):
        template("Resources: {X: {Type: 'AWS::Serverless::StateMachine'}}")


def test_resource_with_a_false_condition_is_absent(template):
    table = "{Type: 'AWS::DynamoDB::Table', Condition: Never, Properties: {}}"

    read = template(f"Conditions: {{Never: !Equals [a, b]}}\nResources: {{T: {table}}}")

    assert read.tables == {}


def test_text_without_a_template_is_refused(template):
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
def test_globals_merge_as_in_sam(base, own, result):
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


QUEUES = """
  Work:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: !Sub "${AWS::StackName}-work"
      VisibilityTimeout: 90
      MessageRetentionPeriod: 3600
      SqsManagedSseEnabled: true
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 5}
  Dead: {Type: AWS::SQS::Queue}
  WorkPolicy:
    Type: AWS::SQS::QueuePolicy
    Properties: {Queues: [!Ref Work], PolicyDocument: {}}
"""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("!Ref Work", "https://sqs.us-east-1.amazonaws.com/123456789012/local-work"),
        ("!GetAtt Work.QueueUrl", "https://sqs.us-east-1.amazonaws.com/123456789012/local-work"),
        ("!GetAtt Work.Arn", "arn:aws:sqs:us-east-1:123456789012:local-work"),
        ("!GetAtt Work.QueueName", "local-work"),
        ("!Ref Dead", "https://sqs.us-east-1.amazonaws.com/123456789012/Dead"),
    ],
)
def test_queue_has_its_cloud_attributes(template, value, expected):
    environment = f"      Environment: {{Variables: {{V: {value}}}}}"

    read = template(f"Resources:{FUNCTION}{environment}{QUEUES}")

    assert read.functions["F"].environment["V"] == expected
    assert read.queues["Work"].attributes == {
        "VisibilityTimeout": "90",
        "MessageRetentionPeriod": "3600",
    }
    assert read.queues["Work"].dead_letter_arn == read.queues["Dead"].arn
    assert read.queues["Work"].max_receive_count == 5
    assert read.queues["Dead"].visibility_timeout_s == 30


@pytest.fixture
def events(template):
    """Return a reader of a template with a function of these events, beside the queues above."""

    def read(text, more=""):
        function = f"{FUNCTION}      Timeout: 60\n      {more}\n      Events: {text}\n"
        return template(f"Resources:{function}{QUEUES}").functions["F"]

    return read


def test_sqs_event_has_lambda_defaults(events):
    text = "{Q: {Type: SQS, Properties: {Queue: !GetAtt Work.Arn}}}"

    (source,) = events(text).queue_sources

    assert (source.queue, source.function) == ("Work", "F")
    assert (source.batch_size, source.window_s) == (10, 0)
    assert source.enabled
    assert source.maximum_concurrency is None
    assert not source.reports_item_failures


def test_sqs_event_is_read_completely(events):
    (source,) = events("""
        Q:
          Type: SQS
          Properties:
            Queue: !GetAtt Work.Arn
            BatchSize: 100
            MaximumBatchingWindowInSeconds: 5
            FunctionResponseTypes: [ReportBatchItemFailures]
            ScalingConfig: {MaximumConcurrency: 2}
            Enabled: false
    """).queue_sources

    assert (source.batch_size, source.window_s, source.maximum_concurrency) == (100, 5, 2)
    assert source.reports_item_failures
    assert not source.enabled


def test_rule_has_its_sam_name(events):
    function = events("""
        Tick: {Type: Schedule, Properties: {Schedule: rate(1 minute)}}
        Daily:
          Type: Schedule
          Properties: {Schedule: rate(1 day), Name: daily, Input: '{"a": 1}', State: DISABLED}
    """)

    tick, daily = function.rules
    assert tick.arn == "arn:aws:events:us-east-1:123456789012:rule/FTick"
    assert (tick.enabled, tick.input, tick.expression) == (True, None, "rate(1 minute)")
    assert daily.arn == "arn:aws:events:us-east-1:123456789012:rule/daily"
    assert (daily.enabled, daily.input) == (False, '{"a": 1}')
    moment = daily.schedule.next_after(datetime(2026, 2, 1, tzinfo=UTC))
    assert moment == datetime(2026, 2, 2, tzinfo=UTC)


def test_event_retry_settings_are_read(events):
    assert events("{}").event_invoke == EventInvokeConfig(2, 21_600)
    more = "EventInvokeConfig: {MaximumRetryAttempts: 0, MaximumEventAgeInSeconds: 60}"
    assert events("{}", more).event_invoke == EventInvokeConfig(0, 60)


@pytest.mark.parametrize(
    ("kind", "properties", "problem"),
    [
        (
            "SQS",
            "{Queue: 'arn:aws:sqs:other'}",
            r"\.Queue: 'arn:aws:sqs:other' is no ARN of a queue",
        ),
        ("SQS", "{Queue: !Ref Work}", r"\.Queue: 'https:.*' is no ARN of a queue"),
        ("SQS", "{Queue: !GetAtt Work.Arn, BatchSize: 11}", r"BatchSize: more than 10 needs"),
        (
            "SQS",
            "{Queue: !GetAtt Work.Arn, ScalingConfig: {MaximumConcurrency: 1}}",
            "MaximumConcurrency: 1 is not from 2 to 1000",
        ),
        (
            "SQS",
            "{Queue: !GetAtt Work.Arn, FilterCriteria: {}}",
            "Events.E: FilterCriteria does not run locally",
        ),
        (
            "SQS",
            "{Queue: !GetAtt Dead.Arn}",
            "Dead.Properties.VisibilityTimeout: 30 s is less than the 60 s that F may take",
        ),
        ("Schedule", "{Schedule: rate(soon)}", r"E\.Schedule: .rate\(soon\). does not run"),
        ("Schedule", "{Schedule: 'cron(0 9 * * ? *)'}", "only rate"),
        ("Schedule", "{Schedule: rate(1 day), Input: '{'}", r"E\.Input: is not JSON"),
        (
            "Schedule",
            "{Schedule: rate(1 day), Enabled: true, State: ENABLED}",
            "both Enabled and State",
        ),
        ("ScheduleV2", "{ScheduleExpression: rate(1 day)}", "ScheduleV2 do not run locally"),
    ],
)
def test_event_that_would_differ_from_the_cloud_is_refused(events, kind, properties, problem):
    with pytest.raises(TemplateError, match=problem):
        events(f"{{E: {{Type: {kind}, Properties: {properties}}}}}")


@pytest.mark.parametrize(
    ("resource", "problem"),
    [
        ("AWS::SQS::Queue', Properties: {FifoQueue: true}", "FifoQueue does not run locally"),
        ("AWS::SQS::Queue', Properties: {Fancy: 1}", "Fancy does not run locally"),
        (
            "AWS::SQS::Queue', Properties: {RedrivePolicy: {maxReceiveCount: 1}}",
            "RedrivePolicy: needs both",
        ),
        (
            "AWS::SQS::Queue', Properties:"
            " {RedrivePolicy: {maxReceiveCount: 1, deadLetterTargetArn: other}}",
            "other is no queue of this template",
        ),
        ("AWS::Events::Rule'", "X: AWS::Events::Rule runs locally only as a function's property"),
        ("AWS::Lambda::EventSourceMapping'", "only as a function's property"),
    ],
)
def test_resource_that_would_differ_from_cloud_is_refused(template, resource, problem):
    with pytest.raises(TemplateError, match=problem):
        template(f"Resources: {{X: {{Type: '{resource}}}}}")


SOCKET = """
  W:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      Description: ignored
      RouteSelectionExpression: $request.body.a.b
      Routes:
        $connect: {FunctionArn: !GetAtt F.Arn}
        shout: {FunctionArn: !GetAtt F.Arn, OperationName: Shout}
"""


def test_websocket_api_is_read(template):
    read = template(f"""
Globals:
  WebSocketApi:
    DefaultRouteSettings: {{ThrottlingBurstLimit: 7, ThrottlingRateLimit: 3.5}}
Resources:{FUNCTION}      Environment: {{Variables: {{V: !Ref W, E: !Sub "https://${{W}}.x/ws"}}}}
{SOCKET}      StageName: !Sub "w-${{AWS::StackName}}"
      AccessLogSettings: {{DestinationArn: a, Format: $context.requestId}}
""")

    assert read.websocket == WebSocketApi(
        logical_id="W",
        stage="w-local",
        route_selection_expression="$request.body.a.b",
        routes={"$connect": "F", "shout": "F"},
        throttle_burst=7,
        throttle_rate=3.5,
        access_log_format="$context.requestId",
    )
    assert read.functions["F"].environment == {"V": "W", "E": "https://W.x/ws"}


def test_websocket_api_has_sam_defaults(template):
    read = template(f"Resources:{FUNCTION}{SOCKET}").websocket

    assert read.stage == "default"
    assert read.throttle_burst is read.throttle_rate is read.access_log_format is None


def test_functions_get_the_local_websocket_address(template):
    read = template(f"Resources:{FUNCTION}{SOCKET}      StageName: ws").websocket

    assert read.addresses(4000) == {
        "WEBSOCKET_API_ENDPOINT": "http://127.0.0.1:4000/ws",
        "WEBSOCKET_URL": "ws://localhost:4000/ws",
    }


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ("Auth: {AuthType: AWS_IAM}", r"W\.Properties: Auth does not run locally"),
        ("RouteSettings: {}", r"W\.Properties: RouteSettings does not run"),
        ("DefaultRouteSettings: {Fancy: 1}", r"DefaultRouteSettings: Fancy does not run"),
        ("StageName: $default", r"StageName: \$default is no name"),
        ("RouteSelectionExpression: $request.header.x", r"SelectionExpression: only \$request"),
        ("Routes: {}", r"Routes: at least one"),
        ("Routes: {a-b: {FunctionArn: !GetAtt F.Arn}}", r"Routes\.a-b: a route key is"),
        ("Routes: {a: {FunctionArn: x}}", r"Routes\.a\.FunctionArn: 'x' is no ARN of a function"),
        (
            "Routes: {a: {FunctionArn: !GetAtt F.Arn, RouteResponseSelectionExpression: $default}}",
            r"Routes\.a: RouteResponseSelectionExpression does not run",
        ),
    ],
)
def test_websocket_api_that_would_differ_is_refused(template, properties, problem):
    valid = {
        "RouteSelectionExpression": "RouteSelectionExpression: $request.body.type",
        "Routes": "Routes: {a: {FunctionArn: !GetAtt F.Arn}}",
    }
    given = {**valid, properties.partition(":")[0]: properties}.values()
    head = f"Resources:{FUNCTION}\n  W:\n    Type: AWS::Serverless::WebSocketApi\n    Properties:"

    with pytest.raises(TemplateError, match=problem):
        template("\n      ".join([head, *given]))


def test_second_websocket_api_is_refused(template):
    second = SOCKET.replace("W:", "W2:")

    with pytest.raises(TemplateError, match="more than one AWS::Serverless::WebSocketApi"):
        template(f"Resources:{FUNCTION}{SOCKET}{second}")
