"""What stands outside a program and has to be there before it is deployed, made for a local run.

A hosted zone, a token, an issuer, a user pool with a user, keys of IAM's, a function that decides, a proxy's
secret, an upstream. What the settings name is left alone where it is there; settings that cannot be read are
left to the program's own checks.
"""

import base64
import io
import json
import re
import secrets
import urllib.parse
import urllib.request
import uuid
import zipfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from components import policies
from sluice import tokens

from .aws import Aws
from .callers import Callers, IamUser, PoolUser, Proxy, Tenant
from .emulator import ROOT
from .issuer import AUDIENCE, MAKE, Issuer
from .program import Config, Deployment
from .upstreams import upstream

AUTHORIZER_KEY = "sluice:authorizer"
FRONT_DOOR_KEY = "sluice:front_door"
PROXY_KEY = "sluice:proxy"
RETRIER_KEY = "sluice:retrier"
TOKEN_NAME = "local"  # noqa: S105 - a name
USER_NAME = "local-user"
SECRET_HEADER = "X-Origin-Secret"  # noqa: S105 - a name
SECRET_BYTES = 32
EXAMPLE = ROOT / "examples" / "tenants"
"""A function that decides."""
EXAMPLE_HANDLER = "tenants.handler"
LOOPBACK = "http://127.0.0.1:"
LOOPBACK_NETWORK = "127.0.0.0/8"
PLACEHOLDER = ".example.com"
"""How the host of an upstream ends that is nobody's."""
CALLING = ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction")
"""What a caller of a function URL needs ("Control access to Lambda function URLs")."""

Section = dict[str, Any]


@dataclass(frozen=True)
class Surroundings:
    """Makes what a stack's settings want, and ends it with the local run."""

    aws: Aws
    ending: ExitStack

    def prepare(self, config: Config) -> tuple[Config, Callers]:
        """Return a config for which everything is there, and what its callers show."""
        config, known = self._outside(config)
        given = section(config, AUTHORIZER_KEY)
        make = {
            "token": _tokens,
            "jwt": self._issuer,
            "cognito": self._user_pool,
            "iam": self._iam_users,
            "function": self._function,
        }.get(str(given.get("kind")))
        if make is None:
            return config, known
        changed, callers = make(given)
        joined = replace(callers, proxy=known.proxy, upstream=known.upstream, calling=known.calling)
        return {**config, AUTHORIZER_KEY: json.dumps({**given, **changed})}, joined

    def permit(self, callers: Callers, deployment: Deployment) -> None:
        """Let those who may call a stack, now that it is there."""
        if callers.permitted:
            stages = [each for each in deployment.resources if each.type == "aws:apigateway/stage:Stage"]
            arns = [f"{each.outputs['executionArn']}/*" for each in stages]
            self._allow(callers.permitted, ["execute-api:Invoke"], arns)
        if callers.calling and (orchestrator := deployment.outputs["retrier"]["orchestrator"]):
            found = self.aws.client("lambda").get_function(FunctionName=orchestrator)
            self._allow(callers.calling, CALLING, [found["Configuration"]["FunctionArn"]])

    def _allow(self, user: IamUser, actions: Sequence[str], arns: Sequence[str]) -> None:
        self.aws.client("iam").put_user_policy(
            UserName=user.name,
            PolicyName="calling",
            PolicyDocument=policies.policy(policies.Statement(actions, arns)),
        )

    def _outside(self, config: Config) -> tuple[Config, Callers]:
        """Return a config whose zone, proxy and upstream are there."""
        config, proxy = with_proxy(with_zone(config, self.aws))
        given = section(config, RETRIER_KEY)
        if not given:
            return config, Callers(proxy=proxy)
        calling = new_iam_user(self.aws, "calling")
        if PLACEHOLDER not in json.dumps(given):
            return config, Callers(proxy=proxy, calling=calling)
        found = self.ending.enter_context(upstream())
        config = {**config, RETRIER_KEY: json.dumps(with_upstream(given, found.url))}
        return config, Callers(proxy=proxy, upstream=found, calling=calling)

    def _issuer(self, given: Section) -> tuple[Section, Callers]:
        """Return an issuer, whose token is for the first audience and has all scopes that are asked for."""
        if any(str(given.get(key)).startswith(LOOPBACK) for key in ("issuer", "jwks_uri")):
            return {}, Callers()
        audience, *_ = [*texts(given, "audiences"), AUDIENCE]
        algorithm, *_ = [*(each for each in texts(given, "algorithms") if each in MAKE), "RS256"]
        issuer = self.ending.enter_context(Issuer(audience))
        token = issuer.mint(algorithm, scope=" ".join(texts(given, "scopes")) or None)
        keys = {"jwks_uri": issuer.jwks_uri} if "jwks_uri" in given else {}
        changed = {"audiences": [audience], **given, "issuer": issuer.url, **keys}
        return changed, Callers(token, issuer=issuer)

    def _user_pool(self, given: Section) -> tuple[Section, Callers]:
        known = texts(given, "user_pool_arns")
        if known and all(map(self._has_pool, known)):
            return {}, Callers()
        pool = UserPool.new(self.aws)
        user = pool.sign_up(USER_NAME)
        scopes = texts(given, "scopes")
        token = pool.scoped_tokens([scopes])[0] if scopes else user.id_token
        return {"user_pool_arns": [pool.arn]}, Callers(token, user=user)

    def _has_pool(self, arn: str) -> bool:
        return exists(
            lambda: self.aws.client("cognito-idp").describe_user_pool(UserPoolId=arn.rpartition("/")[2])
        )

    def _iam_users(self, _given: Section) -> tuple[Section, Callers]:
        permitted, stranger = (new_iam_user(self.aws, each) for each in ("caller", "stranger"))
        return {}, Callers(permitted=permitted, stranger=stranger)

    def _function(self, given: Section) -> tuple[Section, Callers]:
        """Return the example's function, unless the settings name one that is there."""
        named = str(given.get("function_arn"))
        if not EXAMPLE.is_dir() or exists(lambda: self.aws.client("lambda").get_function(FunctionName=named)):
            return {}, Callers()
        name, tenant = unique("example-authorizer"), Tenant(TOKEN_NAME, secrets.token_hex(SECRET_BYTES))
        role = self.aws.client("iam").create_role(
            RoleName=name, AssumeRolePolicyDocument=policies.trusts("lambda.amazonaws.com")
        )["Role"]["Arn"]
        arn = self.aws.client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler=EXAMPLE_HANDLER,
            Role=role,
            Code={"ZipFile": zipped(EXAMPLE)},
            Environment={"Variables": {"TENANT_KEYS": json.dumps({tenant.name: tokens.digest(tenant.key)})}},
        )["FunctionArn"]
        return {"function_arn": arn}, Callers(tenant=tenant)


def _tokens(given: Section) -> tuple[Section, Callers]:
    """Return a freshly minted token beside those that are set: none is ever committed."""
    known = given.get("tokens", [])
    if not isinstance(known, list):
        return {}, Callers()
    token = tokens.mint()
    return {"tokens": [*known, {"name": TOKEN_NAME, "sha256": tokens.digest(token)}]}, Callers(token)


def with_token(config: Config) -> tuple[Config, str | None]:
    """Return a config in which a freshly minted token is known, and the token, where the stack wants one."""
    given = section(config, AUTHORIZER_KEY)
    if given.get("kind") != "token":
        return config, None
    changed, callers = _tokens(given)
    return {**config, AUTHORIZER_KEY: json.dumps({**given, **changed})}, callers.token


def with_proxy(config: Config) -> tuple[Config, Proxy | None]:
    """Return a config whose proxy has a secret, and the proxy, where the stack has one."""
    given = section(config, PROXY_KEY)
    if not isinstance(given.get("address_header"), str):
        return config, None
    made = {} if "secrets" in given else {"secrets": [secrets.token_hex(SECRET_BYTES)]}
    known = texts({**given, **made}, "secrets")
    if not known:
        return config, None
    proxy = Proxy(given["address_header"], str(given.get("secret_header") or SECRET_HEADER), known[0])
    return {**config, PROXY_KEY: json.dumps({**given, **made})}, proxy


def with_upstream(given: Section, url: str) -> Section:
    """Return a retrier's settings in which an upstream here stands for a placeholder."""
    text = re.sub(rf'"https://[a-z0-9.-]+{re.escape(PLACEHOLDER)}"', json.dumps(url), json.dumps(given))
    changed: Section = json.loads(text)
    return {**changed, "private_networks": [*texts(given, "private_networks"), LOOPBACK_NETWORK]}


def with_zone(config: Config, aws: Aws) -> Config:
    """Return a config whose hosted zone exists: it stands outside the program, as domains do."""
    given = section(config, FRONT_DOOR_KEY)
    if not {"domain_name", "hosted_zone_id"} <= given.keys():
        return config
    route53 = aws.client("route53")
    known = {each["Id"].rpartition("/")[2] for each in route53.list_hosted_zones()["HostedZones"]}
    if given["hosted_zone_id"] in known:
        return config
    parent = str(given["domain_name"]).partition(".")[2]
    zone = route53.create_hosted_zone(Name=parent, CallerReference=str(uuid.uuid4()))["HostedZone"]
    given["hosted_zone_id"] = zone["Id"].rpartition("/")[2]
    return {**config, FRONT_DOOR_KEY: json.dumps(given)}


def section(config: Config, key: str) -> Section:
    """Return a section of the settings; an empty one where it is none."""
    try:
        given = json.loads(config.get(key, "{}"))
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}


def texts(given: Section, key: str) -> list[str]:
    """Return the texts of a list among the settings; none where it is something else."""
    value = given.get(key)
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


@dataclass(frozen=True)
class UserPool:
    """A user pool of Cognito's."""

    aws: Aws
    uid: str
    arn: str

    @classmethod
    def new(cls, aws: Aws) -> "UserPool":
        """Make one."""
        made = aws.client("cognito-idp").create_user_pool(PoolName=unique("pool"))["UserPool"]
        return cls(aws, made["Id"], made["Arn"])

    def sign_up(self, name: str) -> PoolUser:
        """Make a user who is signed in."""
        cognito, password = self.aws.client("cognito-idp"), f"Aa1!{secrets.token_urlsafe()}"
        client = cognito.create_user_pool_client(
            UserPoolId=self.uid, ClientName="users", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"]
        )["UserPoolClient"]["ClientId"]
        made = cognito.admin_create_user(UserPoolId=self.uid, Username=name)["User"]
        cognito.admin_set_user_password(UserPoolId=self.uid, Username=name, Password=password, Permanent=True)
        signed_in = cognito.initiate_auth(
            ClientId=client,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": name, "PASSWORD": password},
        )["AuthenticationResult"]
        sub = next(each["Value"] for each in made["Attributes"] if each["Name"] == "sub")
        return PoolUser(self.arn, name, sub, signed_in["IdToken"], signed_in["AccessToken"])

    def scoped_tokens(self, wishes: Sequence[Sequence[str]]) -> list[str]:
        """Return access tokens, each with some scopes of resource servers, such as ``orders/write``."""
        cognito = self.aws.client("cognito-idp")
        wanted = sorted({scope for wish in wishes for scope in wish})
        for server in {each.rpartition("/")[0] for each in wanted}:
            names = [each.rpartition("/")[2] for each in wanted if each.rpartition("/")[0] == server]
            cognito.create_resource_server(
                UserPoolId=self.uid,
                Identifier=server,
                Name=server,
                Scopes=[{"ScopeName": name, "ScopeDescription": name} for name in names],
            )
        client = cognito.create_user_pool_client(
            UserPoolId=self.uid,
            ClientName="services",
            GenerateSecret=True,
            AllowedOAuthFlows=["client_credentials"],
            AllowedOAuthFlowsUserPoolClient=True,
            AllowedOAuthScopes=wanted,
        )["UserPoolClient"]
        key = (client["ClientId"], client["ClientSecret"])
        return [self._granted(*key, " ".join(wish)) for wish in wishes]

    def _granted(self, client: str, secret: str, scope: str) -> str:
        basic = base64.b64encode(f"{client}:{secret}".encode()).decode()
        form = urllib.parse.urlencode({"grant_type": "client_credentials", "scope": scope})
        request = urllib.request.Request(  # noqa: S310 - the emulator's own address
            f"{self.aws.endpoint}/oauth2/token",
            form.encode(),
            {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as response:
            token: str = json.load(response)["access_token"]
        return token


def new_iam_user(aws: Aws, role: str) -> IamUser:
    """Make a user of IAM's with a key, who may do nothing yet."""
    iam, name = aws.client("iam"), unique(role)
    arn = iam.create_user(UserName=name)["User"]["Arn"]
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return IamUser(name, arn, Credentials(key["AccessKeyId"], key["SecretAccessKey"]))


def exists(read: Callable[[], object]) -> bool:
    """Whether something that AWS is asked for is there."""
    try:
        read()
    except ClientError:
        return False
    return True


def unique(name: str) -> str:
    """Return a name that nothing else has."""
    return f"{name}-{secrets.token_hex(4)}"


def zipped(folder: Path) -> bytes:
    """Return the archive of a function: the Python files of a folder."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*.py")):
            archive.write(file, file.relative_to(folder))
    return target.getvalue()
