"""Makers for IAM."""

import json

from .compute import LocalSetupError
from .registry import Inputs, Outputs, Workshop, auto_name, makes


@makes("aws:iam/role:Role")
def role(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a role."""
    physical = auto_name(name)
    made = workshop.aws.client("iam").create_role(
        RoleName=physical, AssumeRolePolicyDocument=inputs["assumeRolePolicy"]
    )["Role"]
    return physical, {"name": physical, "arn": made["Arn"]}


@makes("aws:iam/rolePolicy:RolePolicy")
def role_policy(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Give a role a policy of its own."""
    physical = auto_name(name)
    workshop.aws.client("iam").put_role_policy(
        RoleName=inputs["role"], PolicyName=physical, PolicyDocument=inputs["policy"]
    )
    return f"{inputs['role']}:{physical}", {"name": physical}


@makes("aws:iam/policy:Policy")
def managed_policy(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a policy that roles can be given."""
    physical: str = inputs.get("name") or auto_name(name)
    made = workshop.aws.client("iam").create_policy(
        PolicyName=physical,
        PolicyDocument=inputs["policy"],
        **inputs.pick(Description="description", Path="path"),
    )["Policy"]
    return made["Arn"], {"arn": made["Arn"], "name": physical, "policyId": made["PolicyId"]}


@makes("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
def role_policy_attachment(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Give a role a policy, of AWS's or of the program's."""
    workshop.aws.client("iam").attach_role_policy(RoleName=inputs["role"], PolicyArn=inputs["policyArn"])
    return auto_name(name), {}


def check_trust(workshop: Workshop, role_arn: str) -> None:
    """Refuse a role that API Gateway may not take on; the emulator lets everybody take on every role."""
    role = workshop.aws.client("iam").get_role(RoleName=role_arn.rpartition("/")[2])["Role"]
    trusted = json.dumps(role["AssumeRolePolicyDocument"])
    if "apigateway.amazonaws.com" not in trusted:
        raise LocalSetupError(f"API Gateway does not have permission to assume the provided role {role_arn}")
