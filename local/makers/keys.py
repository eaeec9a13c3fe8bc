"""Makers for KMS; the emulator encrypts nothing with what is made here."""

from .registry import Inputs, Outputs, Workshop, makes


@makes("aws:kms/key:Key")
def key(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a customer key."""
    # Nothing is deleted here but with the whole emulator.
    inputs.only_on_aws("deletionWindowInDays")
    kms = workshop.aws.client("kms")
    made = kms.create_key(**inputs.pick(Description="description", Policy="policy"))["KeyMetadata"]
    if inputs.get("enableKeyRotation"):
        kms.enable_key_rotation(KeyId=made["KeyId"])
    return made["KeyId"], {"keyId": made["KeyId"], "arn": made["Arn"]}
