"""A function of the running stack as SAM runs it, in a container: make sam-invoke FUNCTION=list-events.

SAM hands a function only such variables as its template declares, and the container has none of this machine's
files. So the function is built from a template of its own, which declares all that the stack's env.json has for it,
and the stack's authority is laid beside its binary.
"""

import json
import os
import shutil
from pathlib import Path

import certificates
import deploy
import functions
import walkthrough
from console import Failure, follow
from files import write_private
from tools import ROOT

PROGRAM = Path(__file__).parent / "programs" / "sam_on_host.py"
# Where a container has a function's package.
PACKAGE = "/var/task"
# In the sample events: who asks, and for what.
TOKEN, USER = "Bearer TOKEN", '\\"user_id\\": 1'
BOOKING, PAYMENT = "bk_01a205dacee771e7b946b9382a1b206c", "pay_01a205dacee771e7b946b9382a1b206c"


def invoke(stack, sample: str) -> int:
    """Invokes a function with one of the sample events, named like it or by more; sam's exit status."""
    if "event-sources" not in stack.running():
        raise Failure("The stack is not running: make up, then make sam-invoke.")
    template = functions.read()
    packages = {functions.package(logical): logical for logical in template.functions()}
    name = next((name for name in packages if sample.startswith(name)), None)
    event = ROOT / "events" / f"{sample}.json"
    if name is None or not event.exists():
        samples = ", ".join(sorted(path.stem for path in event.parent.glob("*.json")))
        raise Failure(f"There is no sample event {sample!r}. FUNCTION can be: {samples}.")
    logical, folder = packages[name], stack.folder / "container" / name
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "template.json"
    source.write_text(json.dumps(declared(stack, template, logical), indent=2))
    # Without the account that its user works with: sam would hand it on.
    shell = {variable: value for variable, value in os.environ.items() if not variable.startswith("AWS_")}
    environment = deploy.sam_environment(shell)
    built = deploy.build(source, folder / "build", folder / "sam.log", environment, [])
    shutil.copy(certificates.authority(stack), folder / "build" / logical)
    sent, given = folder / "event.json", folder / "env.json"
    write_private(sent, realistic(event.read_text(), stack))
    write_private(given, json.dumps({logical: variables(stack, logical)}))
    command = [deploy.sam() / "python", PROGRAM, "local", "invoke", logical, "--template-file", built]
    command += ["--event", sent, "--env-vars", given]
    return follow(command, cwd=folder, env=environment)


def declared(stack, template: functions.Template, logical: str) -> dict:
    """A template of one function, with the names of the variables that it has in the stack."""
    resource = template.resources[logical]
    given = {**template.globals["Function"], **resource["Properties"]}
    properties = {name: given[name] for name in ("Runtime", "Handler", "MemorySize", "Timeout")}
    properties |= {"CodeUri": str(ROOT), "Architectures": [deploy.MACHINE]}
    # Their values come by --env-vars, which the shell's don't go before.
    properties["Environment"] = {"Variables": dict.fromkeys(variables(stack, logical), "")}
    function = {"Type": functions.FUNCTION, "Metadata": resource["Metadata"], "Properties": properties}
    return {"Transform": "AWS::Serverless-2016-10-31", "Resources": {logical: function}}


def variables(stack, logical: str) -> dict[str, str]:
    """A function's environment in the stack, but for a file that the container has elsewhere."""
    authority = f"{PACKAGE}/{certificates.authority(stack).name}"
    return json.loads(stack.functions_file.read_text())[logical] | {"ADMIT_CA_FILE": authority}


def realistic(event: str, stack) -> str:
    """A sample event that the demo user sends, about a booking of theirs."""
    token = walkthrough.load_demo(stack.url)
    bookings = walkthrough.call(stack.url, "GET", "/bookings", None, token)[1]["items"]
    booking = next((booking for booking in bookings if booking["payment_id"]), None)
    if booking is None:
        raise Failure("The demo user has no booking that is paid: make up books one.")
    return (
        event.replace(TOKEN, f"Bearer {token}")
        .replace(USER, f'\\"user_id\\": {booking["user_id"]}')
        .replace(BOOKING, booking["booking_id"])
        .replace(PAYMENT, booking["payment_id"])
    )
