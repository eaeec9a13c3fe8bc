"""Makers for S3."""

from .registry import Inputs, Outputs, Workshop, auto_name, makes
from .shapes import api_shape

NAMES = {
    "id": "ID",
    "sseAlgorithm": "SSEAlgorithm",
    "kmsMasterKeyId": "KMSMasterKeyID",
}


@makes("aws:s3/bucket:Bucket")
def bucket(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a bucket."""
    # Nothing is ever deleted here.
    inputs.only_on_aws("forceDestroy")
    physical: str = inputs.get("bucket") or auto_name(name).lower()
    workshop.aws.client("s3").create_bucket(Bucket=physical)
    return physical, {
        "bucket": physical,
        "arn": f"arn:aws:s3:::{physical}",
        "bucketDomainName": f"{physical}.s3.amazonaws.com",
        "bucketRegionalDomainName": f"{physical}.s3.{workshop.aws.region}.amazonaws.com",
    }


@makes("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock")
def bucket_public_access_block(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Keep a bucket from the public."""
    workshop.aws.client("s3").put_public_access_block(
        Bucket=inputs["bucket"],
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": inputs.get("blockPublicAcls", False),
            "BlockPublicPolicy": inputs.get("blockPublicPolicy", False),
            "IgnorePublicAcls": inputs.get("ignorePublicAcls", False),
            "RestrictPublicBuckets": inputs.get("restrictPublicBuckets", False),
        },
    )
    return inputs["bucket"], {}


@makes("aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration")
def bucket_encryption(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Say how a bucket's objects are encrypted."""
    workshop.aws.client("s3").put_bucket_encryption(
        Bucket=inputs["bucket"],
        ServerSideEncryptionConfiguration={"Rules": api_shape(inputs["rules"], NAMES)},
    )
    return inputs["bucket"], {}


@makes("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration")
def bucket_lifecycle(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Say when a bucket's objects end."""
    workshop.aws.client("s3").put_bucket_lifecycle_configuration(
        Bucket=inputs["bucket"], LifecycleConfiguration={"Rules": api_shape(inputs["rules"], NAMES)}
    )
    return inputs["bucket"], {}


@makes("aws:s3/bucketPolicy:BucketPolicy")
def bucket_policy(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Attach a bucket's policy."""
    workshop.aws.client("s3").put_bucket_policy(Bucket=inputs["bucket"], Policy=inputs["policy"])
    return inputs["bucket"], {}
