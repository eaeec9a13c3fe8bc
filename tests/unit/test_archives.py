import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import aws_lambda_powertools
import pulumi
import pytest

from components import archives, consumer, limiter_rules, retrier, retrier_args
from components.archives import LayerBuildError, Target
from components.authorizer import LAYER_LOCK, MODULES, SETTINGS_FILE
from components.authorizer_args import AuthorizerKind
from components.limiter import HANDLER_MODULES, SHARED_MODULES
from local.makers.compute import zipped
from sluice import tokens
from sluice.limiter import rules, sets
from sluice.limiter.windows import Calendar, WindowKind, WindowPeriod
from sluice.retrier import rules as retrier_rules

AUTHORIZER = ["sluice/__init__.py", "sluice/handlers/__init__.py", "sluice/tokens.py", SETTINGS_FILE]
"""What the archives of both built-in authorizers hold, beside the modules of each."""
CONSUMER = ["sluice/__init__.py", "sluice/handlers/__init__.py", "sluice/handlers/consumer.py"]
PACKAGES = str(Path(aws_lambda_powertools.__file__).parent.parent)
Install = Callable[[Path, Target, Path], None]


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """Return a user's folder with code, and with what is none."""
    folder = tmp_path / "code"
    for name in (
        "recorder.py",
        "data/table.json",
        "handlers/__init__.py",
        "handlers/consumer.py",
        "__pycache__/recorder.cpython-311.pyc",
        "data/__pycache__/x.py",
        "old.pyc",
        ".env",
        ".git/config",
        "data/.secret/key.py",
    ):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"NAME = {name!r}\n")
    return folder


def paths(archive: pulumi.AssetArchive) -> list[str]:
    return list(archive.assets)


def unpacked(archive: pulumi.AssetArchive, folder: Path) -> Path:
    file = folder / "function.zip"
    file.write_bytes(zipped(archive))
    with zipfile.ZipFile(file) as packed:
        packed.extractall(folder / "task")
    return folder / "task"


def run_isolated(program: str, path: list[str]) -> str:
    """Run a program that sees the standard library and the path, as a function in Lambda does."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", f"import sys\nsys.path[:0] = {path!r}\n{program}"],
        env={
            "AWS_LAMBDA_FUNCTION_NAME": "f",
            "SLUICE_METRIC_NAMESPACE": "Sluice",
            "PATH": os.environ["PATH"],
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


SECRET = "s" * 32
AUTHORIZER_SETTINGS: dict[AuthorizerKind, dict[str, object]] = {
    AuthorizerKind.TOKEN: {
        "proxy": {
            "address_header": "x-client-ip",
            "secret_header": "x-origin-secret",
            "secrets": [tokens.digest(SECRET)],
        },
        "tokens": [{"name": "ann", "sha256": tokens.digest("one"), "expires": None}],
    },
    AuthorizerKind.JWT: {
        "proxy": None,
        "issuer": "https://issuer.example.com",
        "jwks_uri": None,
        "audiences": ["sluice"],
        "scopes": [],
        "algorithms": ["RS256", "ES256", "EdDSA"],
        "leeway_seconds": 30,
        "key_max_age_seconds": 3600,
        "required_claims": {},
        "principal_claim": "sub",
        "claims": {},
    },
}


def authorizer_archive(kind: AuthorizerKind) -> pulumi.AssetArchive:
    return archives.handler_archive(
        modules=MODULES[kind],
        shared=["tokens"],
        generated={SETTINGS_FILE: json.dumps(AUTHORIZER_SETTINGS[kind])},
    )


def token_archive() -> pulumi.AssetArchive:
    return authorizer_archive(AuthorizerKind.TOKEN)


def test_no_cache_and_nothing_hidden_is_code(code: Path) -> None:
    found = dict(archives.code_files(code))
    # In the same order everywhere, whatever the file system's is.
    assert list(found) == ["recorder.py", "data/table.json", "handlers/__init__.py", "handlers/consumer.py"]
    assert all(code / inside == file for inside, file in found.items())


def test_a_link_to_a_folder_is_not_followed_and_a_dead_one_is_no_code(code: Path, tmp_path: Path) -> None:
    before = [*archives.code_files(code)]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "work.py").touch()
    (code / "other").symlink_to(tmp_path / "other")
    (code / "data" / "up").symlink_to(code)
    (code / "dead.py").symlink_to("nowhere")
    assert [*archives.code_files(code)] == before


def test_a_link_to_a_file_is_code_like_any_other(code: Path) -> None:
    (code / "also.py").symlink_to("recorder.py")
    assert "also.py" in dict(archives.code_files(code))


def test_an_archive_lists_its_files_in_order(code: Path) -> None:
    found = paths(archives.handler_archive(modules=["consumer"], shared=[], code=code))
    assert found == sorted(found)


def test_a_folder_under_a_hidden_one_is_code_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / ".work" / "code"
    folder.mkdir(parents=True)
    (folder / "a.py").touch()
    assert [inside for inside, _ in archives.code_files(folder)] == ["a.py"]


@pytest.mark.parametrize(
    ("kind", "modules"),
    [
        (AuthorizerKind.TOKEN, {"authorizing", "emf", "token_authorizer"}),
        (AuthorizerKind.JWT, {"authorizing", "emf", "jwt_authorizer", "key_sets"}),
    ],
)
def test_an_archive_holds_exactly_what_was_named(kind: AuthorizerKind, modules: set[str]) -> None:
    ours = {f"sluice/handlers/{each}.py" for each in modules}
    assert set(paths(authorizer_archive(kind))) == {*AUTHORIZER, *ours}


def test_an_archive_without_code_holds_ours_alone() -> None:
    assert sorted(paths(archives.handler_archive(modules=["consumer"], shared=[]))) == CONSUMER


def test_a_users_own_handlers_do_not_collide_with_ours(code: Path, tmp_path: Path) -> None:
    archive = archives.handler_archive(modules=["consumer"], shared=[], code=code)
    assert sorted(paths(archive)) == sorted([*CONSUMER, *dict(archives.code_files(code))])
    task = unpacked(archive, tmp_path)
    assert (task / "handlers/consumer.py").read_text() == "NAME = 'handlers/consumer.py'\n"
    ours = archives.HANDLERS / "consumer.py"
    assert (task / "sluice/handlers/consumer.py").read_bytes() == ours.read_bytes()


def test_a_user_cannot_replace_our_entry(tmp_path: Path) -> None:
    file = tmp_path / "sluice" / "handlers" / "consumer.py"
    file.parent.mkdir(parents=True)
    file.write_text("raise SystemExit\n")
    archive = archives.handler_archive(modules=["consumer"], shared=[], code=tmp_path)
    entry = archive.assets["sluice/handlers/consumer.py"]
    assert isinstance(entry, pulumi.FileAsset)
    assert Path(entry.path) == archives.HANDLERS / "consumer.py"


LISTING = (
    "found = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
    "print('loaded', *sorted(found - set(sys.stdlib_module_names)))\n"
)


def loaded(told: str) -> set[str]:
    """Return what a program loaded besides the standard library."""
    (line,) = (line for line in told.splitlines() if line.startswith("loaded "))
    return set(line.split()[1:])


def test_the_token_authorizer_needs_the_standard_library_alone(tmp_path: Path) -> None:
    """Also while it decides about a request that came through a proxy."""
    task = unpacked(token_archive(), tmp_path)
    headers = {"Authorization": ["Bearer one"], "X-Client-Ip": ["192.0.2.7"], "X-Origin-Secret": [SECRET]}
    event = {"type": "REQUEST", "multiValueHeaders": headers, "methodArn": "arn:x/v1/POST/a"}
    told = run_isolated(
        "before = set(sys.modules)\n"
        "from sluice.handlers.token_authorizer import handler\n"
        f"print(handler({event!r}, None)['context'])\n{LISTING}",
        [str(task), PACKAGES],
    )
    assert "{'clientIp': '192.0.2.7'}" in told.splitlines()
    assert loaded(told) == {"sluice"}


def test_the_token_authorizer_decides_by_the_settings_in_its_archive(tmp_path: Path) -> None:
    task = unpacked(token_archive(), tmp_path)
    told = run_isolated(
        "from sluice.handlers.token_authorizer import handler\n"
        "for token, secret in (('one', 's' * 32), ('two', 's' * 32), ('one', 't' * 32)):\n"
        "    headers = {'Authorization': [f'Bearer {token}'], 'X-Origin-Secret': [secret]}\n"
        "    headers |= {'X-Client-Ip': ['192.0.2.7']}\n"
        "    event = {'type': 'REQUEST', 'multiValueHeaders': headers, 'methodArn': 'arn:x/v1/POST/a'}\n"
        "    print('principal', handler(event, None)['principalId'])\n",
        [str(task)],
    )
    assert [line for line in told.splitlines() if line.startswith("principal")] == [
        "principal ann",
        "principal -",
        "principal -",
    ]


OF_THE_JWT_LAYER = {"jwt", "cryptography", "_openssl", "cffi", "_cffi_backend", "pycparser"}
"""Modules; ``_openssl`` is a name that cryptography gives to a part of its own."""


def test_the_jwt_authorizer_needs_what_its_layer_holds_and_nothing_else(tmp_path: Path) -> None:
    task = unpacked(authorizer_archive(AuthorizerKind.JWT), tmp_path)
    event = {"type": "TOKEN", "authorizationToken": "Bearer a.b.c", "methodArn": "arn:x/v1/POST/a"}
    told = run_isolated(
        "before = set(sys.modules)\n"
        "from sluice.handlers.jwt_authorizer import handler\n"
        f"print(handler({event!r}, None)['principalId'])\n{LISTING}",
        [str(task), PACKAGES],
    )
    assert "-" in told.splitlines()
    assert {"sluice", "jwt", "cryptography"} <= loaded(told) <= {"sluice", *OF_THE_JWT_LAYER}


def test_the_jwt_authorizer_s_layer_holds_its_packages_alone() -> None:
    pinned = re.findall(r"^([a-z0-9-]+)==", LAYER_LOCK.read_text(), re.MULTILINE)
    assert sorted(pinned) == ["cffi", "cryptography", "pycparser", "pyjwt"]


def test_the_consumer_needs_nothing_of_ours_that_it_does_not_ship(tmp_path: Path, code: Path) -> None:
    archive = archives.handler_archive(modules=consumer.MODULES, shared=consumer.SHARED, code=code)
    task = unpacked(archive, tmp_path)
    told = run_isolated(
        "from sluice.handlers import consumer, once\n"
        "import handlers\n"
        "print(consumer.__file__, handlers.NAME)\n"
        "ours = ('sluice', 'components', 'pulumi')\n"
        "print(*sorted(name for name in sys.modules if name.startswith(ours)))\n",
        [str(task), PACKAGES],
    )
    assert told.splitlines() == [
        f"{task}/sluice/handlers/consumer.py handlers/__init__.py",
        " ".join(
            sorted(
                [
                    *("sluice", "sluice.handlers"),
                    *(f"sluice.handlers.{each}" for each in consumer.MODULES),
                    *(f"sluice.{each}" for each in consumer.SHARED),
                ]
            )
        ),
    ]


LIMITER_RULES = limiter_rules.make(
    {
        "windows": [
            {"name": "day", "limit": 5, "kind": WindowKind.CALENDAR,
             "period": WindowPeriod.DAY, "time_zone": "Asia/Kolkata"},
            {"name": "month", "limit": 50, "length_seconds": 30 * 86_400},
        ]
    }
)  # fmt: skip


def limiter_archive(module: str) -> pulumi.AssetArchive:
    return archives.handler_archive(
        modules=HANDLER_MODULES[module],
        shared=SHARED_MODULES,
        generated={f"sluice/handlers/{rules.FILE}": rules.dumps(LIMITER_RULES)},
        files=limiter_rules.zone_files(LIMITER_RULES),
    )


@pytest.mark.parametrize("module", HANDLER_MODULES)
def test_the_limiter_s_functions_need_boto3_and_nothing_else_that_they_do_not_ship(
    module: str, tmp_path: Path
) -> None:
    task = unpacked(limiter_archive(module), tmp_path)
    told = run_isolated(
        f"from sluice.handlers import {module} as entry\n"
        "print(entry.__file__)\n"
        "ours = {'sluice', 'handlers', 'components', 'local'}\n"
        "print(*sorted(name for name in sys.modules if name.partition('.')[0] in ours))\n"
        "packages = {name.partition('.')[0] for name in sys.modules}\n"
        "print(*sorted(packages & {'pulumi', 'pulumi_aws', 'pydantic', 'aws_lambda_powertools', 'boto3'}))\n",
        [str(task), PACKAGES],
    )
    file, ours, packages = told.splitlines()
    assert file == f"{task}/sluice/handlers/{module}.py"
    shipped = {
        each.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for each in paths(limiter_archive(module))
        if each.startswith("sluice/") and each.endswith(".py")
    }
    assert set(ours.split()) <= shipped
    assert packages == "boto3", "each other one costs time at a cold start"


@pytest.mark.parametrize("module", HANDLER_MODULES)
def test_the_limiter_s_functions_start_with_the_rules_and_the_zones_in_their_archive(
    module: str, tmp_path: Path
) -> None:
    variables = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "SLUICE_COUNTERS": "c",
        "SLUICE_BLOCKS": "b",
        "SLUICE_DEAD_LETTERS": "d",
        "SLUICE_WAKE_UPS": "w",
        "SLUICE_IP_SETS": sets.dumps([]),
        "SLUICE_METRIC_NAMESPACE": "Sluice",
    }
    task = unpacked(limiter_archive(module), tmp_path)
    told = run_isolated(
        "import os, zoneinfo\n"
        "zoneinfo.reset_tzpath(to=[])\n"
        f"os.environ |= {variables!r}\n"
        f"from sluice.handlers import {module} as entry\n"
        "from sluice.limiter import rules\n"
        "from pathlib import Path\n"
        "entry.Worker(os.environ)\n"
        "read = rules.loads(Path(entry.__file__).with_name(rules.FILE).read_text())\n"
        "print(*(window.buckets.index(1_750_000_000_000) for window in read.windows))\n",
        [str(task), PACKAGES],
    )
    assert isinstance(LIMITER_RULES.windows[0].buckets, Calendar)
    indices = [window.buckets.index(1_750_000_000_000) for window in LIMITER_RULES.windows]
    assert told.split() == [str(each) for each in indices]


RETRIER_RULES = retrier_args.rules_of(
    {"upstreams": [{"origin": "https://api.example.com", "calls": 5}], "private_networks": ["10.0.0.0/8"]}
)
RETRIER_MODULES = {"call": retrier.CALLING, "orchestrator": retrier.ORCHESTRATING}
RETRIER_VARIABLES = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "a",
    "AWS_SECRET_ACCESS_KEY": "b",
    "POWERTOOLS_METRICS_NAMESPACE": "Sluice",
    "SLUICE_SERVICE": "retrier",
    "SLUICE_BUDGETS": "budgets",
    "SLUICE_STATE_MACHINE": "arn:aws:states:us-east-1:123456789012:stateMachine:calls",
    "SLUICE_IDEMPOTENCY_TABLE": "kept",
    "SLUICE_KEPT_SECONDS": "60",
}
OUR_MODULES = (
    "ours = {'sluice', 'handlers', 'components', 'local'}\n"
    "print('ours', *sorted(name for name in sys.modules if name.partition('.')[0] in ours))\n"
)


def retrier_archive(entry: str) -> pulumi.AssetArchive:
    return archives.handler_archive(
        modules=[f"retrier/{each}" for each in RETRIER_MODULES[entry]],
        shared=retrier.SHARED,
        generated={f"sluice/handlers/retrier/{retrier_rules.FILE}": RETRIER_RULES.dumps()},
    )


def python_modules(archive: pulumi.AssetArchive) -> set[str]:
    """Return the modules of ours that an archive holds."""
    return {
        each.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for each in paths(archive)
        if each.startswith("sluice/") and each.endswith(".py")
    }


@pytest.mark.parametrize(
    ("entry", "workflow"), [("call", "express"), ("orchestrator", "express"), ("orchestrator", "standard")]
)
def test_the_retrier_s_functions_start_with_what_their_archives_and_their_layer_hold(
    entry: str, workflow: str, tmp_path: Path
) -> None:
    task = unpacked(retrier_archive(entry), tmp_path)
    told = run_isolated(
        "import os\n"
        f"os.environ |= {dict(RETRIER_VARIABLES, SLUICE_WORKFLOW=workflow)!r}\n"
        f"from sluice.handlers.retrier import {entry} as started\n"
        f"assert started.{'_workers' if entry == 'call' else '_orchestrators'}, 'it starts at once'\n"
        f"print(started.__file__)\n{OUR_MODULES}",
        [str(task), PACKAGES],
    )
    file, ours = told.splitlines()
    assert file == f"{task}/sluice/handlers/retrier/{entry}.py"
    shipped = python_modules(retrier_archive(entry))
    used = set(ours.split()[1:])
    assert used <= shipped
    left = {f"sluice.handlers.retrier.{each}" for each in ({"once"} if workflow == "standard" else set())}
    assert shipped - used == left & shipped, "what nobody imports is not shipped"


@pytest.mark.parametrize("entry", RETRIER_MODULES)
def test_the_retrier_s_functions_read_the_rules_in_their_archive(entry: str, tmp_path: Path) -> None:
    task = unpacked(retrier_archive(entry), tmp_path)
    written = (task / "sluice/handlers/retrier" / retrier_rules.FILE).read_text()
    assert retrier_rules.loads(written) == RETRIER_RULES


def test_the_orchestrator_does_without_what_calls_upstreams(tmp_path: Path) -> None:
    task = unpacked(retrier_archive("orchestrator"), tmp_path)
    told = run_isolated(
        "from sluice.handlers.retrier import orchestrator\nprint('aiohttp' in sys.modules)\n",
        [str(task), PACKAGES],
    )
    assert told.split() == ["False"], "it costs time at a cold start"


def test_the_retrier_s_layer_holds_what_its_functions_import() -> None:
    pinned = re.findall(r"^([a-z0-9-]+)==", retrier.LAYER_LOCK.read_text(), re.MULTILINE)
    assert {"aiohttp", "aws-lambda-powertools", "jmespath", "yarl"} <= set(pinned)
    assert not {"boto3", "botocore"} & set(pinned), "Lambda has them"


def test_a_consumer_that_makes_calls_holds_its_code_and_starts(tmp_path: Path) -> None:
    archive = archives.handler_archive(
        modules=consumer.MODULES, shared=consumer.SHARED, code=retrier_args.QUEUED_CALLS
    )
    task = unpacked(archive, tmp_path)
    told = run_isolated(
        "import os\n"
        f"os.environ |= {RETRIER_VARIABLES!r}\n"
        "import queued_calls\n"
        "from sluice.handlers import consumer\n"
        f"print(queued_calls.__file__, queued_calls.record_handler.__name__)\n{OUR_MODULES}",
        [str(task), PACKAGES],
    )
    file, ours = told.splitlines()
    assert file == f"{task}/queued_calls.py record_handler"
    assert set(ours.split()[1:]) <= python_modules(archive)
    named = retrier_args.calls_from_queue({"upstreams": []})["poison_errors"]
    assert [each.partition(".")[0] for each in named] == ["queued_calls"] * len(named)
    text = (task / "queued_calls.py").read_text()
    assert all(f"class {each.partition('.')[2]}(" in text for each in named), (
        "the names of errors are its own"
    )


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a lock file; layers are cached in a folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "consumer.txt"
    file.write_text("thing==1.0 --hash=sha256:00\n")
    return file


@pytest.fixture
def installs(monkeypatch: pytest.MonkeyPatch) -> list[Target]:
    """Put packages as pip would in place of pip, and return what it was asked for."""
    asked: list[Target] = []

    def install(_lock: Path, target: Target, folder: Path) -> None:
        asked.append(target)
        files = ["thing/__init__.py", "thing/bin/tool.py", "thing-1.0.dist-info/METADATA"]
        # A folder's order is that of its making, and pip makes it in any order.
        for name in [
            *(files if len(asked) % 2 else reversed(files)),
            "bin/thing",
            "thing-1.0.dist-info/RECORD",
        ]:
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{name}\n")
            os.utime(file, (len(asked) * 10**8, len(asked) * 10**8))
            file.chmod(0o600 if len(asked) % 2 else 0o755)

    monkeypatch.setattr(archives, "_install", install)
    return asked


def test_a_layer_holds_the_packages_and_the_list_that_it_was_built_from(
    lock: Path, installs: list[Target]
) -> None:
    with zipfile.ZipFile(archives.layer(lock, Target())) as built:
        assert built.namelist() == [
            "python/thing/__init__.py",
            "python/thing/bin/tool.py",
            "python/thing-1.0.dist-info/METADATA",
            archives.LAYER_LOCK,
        ]
        assert built.read(archives.LAYER_LOCK) == lock.read_bytes()
        modes = {entry.external_attr >> 16 for entry in built.infolist()}
    assert modes == {0o644}, "Lambda runs as another user, who must be able to read"
    assert installs == [Target()]


def test_the_same_list_makes_the_same_bytes(lock: Path, installs: list[Target]) -> None:
    built = archives.layer(lock, Target())
    first = built.read_bytes()
    built.unlink()
    assert archives.layer(lock, Target()).read_bytes() == first
    assert len(installs) == 2


def test_a_layer_is_built_once(lock: Path, installs: list[Target]) -> None:
    assert archives.layer(lock, Target()) == archives.layer(lock, Target())
    assert len(installs) == 1


def test_another_list_or_target_makes_another_layer(lock: Path, installs: list[Target]) -> None:
    built = {archives.layer(lock, Target()), archives.layer(lock, Target(architecture="arm64"))}
    built.add(archives.layer(lock, Target(python="3.12")))
    lock.write_text("thing==2.0\n")
    built.add(archives.layer(lock, Target()))
    assert len(built) == 4
    assert len(installs) == 4


def test_the_cache_lies_in_the_home_folder_unless_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: Path, installs: list[Target]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert archives.layer(lock, Target()).parent == tmp_path / "home" / ".cache" / "sluice"
    assert installs


def test_a_layer_that_cannot_be_built_says_what_pip_said(lock: Path, tmp_path: Path) -> None:
    lock.write_text("this is no requirement\n")
    with pytest.raises(LayerBuildError) as refused:
        archives.layer(lock, Target())
    assert "Invalid requirement" in str(refused.value)
    assert str(lock) in str(refused.value)
    assert "python3.13 on x86_64" in str(refused.value)
    assert not list((tmp_path / "cache" / "sluice").iterdir()), "half a layer must not be found again"


@pytest.mark.parametrize(
    "cache", ["consumer.txt", "consumer.txt/deeper", "x" * 300], ids=["file", "under a file", "long"]
)
def test_a_cache_that_cannot_be_written_is_told_in_our_words(
    cache: str, lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installs: list[Target]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / cache))
    with pytest.raises(LayerBuildError) as refused:
        archives.layer(lock, Target())
    assert str(lock) in str(refused.value)
    assert str(tmp_path / cache / "sluice") in str(refused.value)
    assert not installs


def test_what_stops_a_layer_is_told_without_a_traceback() -> None:
    assert issubclass(LayerBuildError, pulumi.RunError), "Pulumi prints the message of this kind alone"


def test_pip_is_told_to_take_nothing_but_the_wheels_of_the_list(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 1, "only on stdout", "")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(LayerBuildError, match="only on stdout"):
        archives.layer(lock, Target(architecture="arm64"))
    (command,) = asked
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:", "manylinux_2_28_aarch64"} <= set(command)
    assert command[command.index("--python-version") + 1] == "3.13"
    assert command[-2:] == ["--requirement", str(lock)]


def test_a_target_is_named_as_lambda_and_as_wheels_name_it() -> None:
    assert Target().runtime == "python3.13"
    assert Target().platforms == ["manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"]
    assert all(each.endswith("_aarch64") for each in Target(architecture="arm64").platforms)


@pytest.mark.parametrize(
    ("machine", "architecture"),
    [
        ("x86_64", "x86_64"),
        ("AMD64", "x86_64"),
        ("arm64", "arm64"),
        ("aarch64", "arm64"),
        ("AARCH64", "arm64"),
        ("riscv64", "x86_64"),
    ],
)
def test_this_machine_is_a_target_too(
    machine: str, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert Target.host() == Target(version, architecture)
