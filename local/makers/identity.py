"""Makers for IAM."""

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


@makes("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
def role_policy_attachment(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Give a role a policy of AWS's."""
    workshop.aws.client("iam").attach_role_policy(RoleName=inputs["role"], PolicyArn=inputs["policyArn"])
    return auto_name(name), {}
