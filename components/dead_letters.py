"""A bucket for what could not be handled: encrypted, private, TLS only, emptied after a while."""

import pulumi
import pulumi_aws as aws

from . import policies

KEPT_DAYS = 90


def create_dead_letters(
    name: str, kms_key_arn: pulumi.Input[str] | None, parent: pulumi.Resource, *, keep: bool
) -> "aws.s3.Bucket":
    """Make a bucket that keeps what it gets for 90 days.

    The children are ``<name>``, ``<name>-access``, ``<name>-encryption``, ``<name>-lifecycle`` and
    ``<name>-policy``.

    Args:
        name: the bucket's resource name.
        kms_key_arn: a customer key; none for S3's own.
        parent: the component.
        keep: whether to refuse to be deleted while there is something in it.
    """
    opts = pulumi.ResourceOptions(parent=parent)
    bucket = aws.s3.Bucket(name, force_destroy=not keep, opts=opts)
    aws.s3.BucketPublicAccessBlock(
        f"{name}-access",
        bucket=bucket.bucket,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
        opts=opts,
    )
    aws.s3.BucketServerSideEncryptionConfiguration(
        f"{name}-encryption",
        bucket=bucket.bucket,
        rules=[
            {
                "apply_server_side_encryption_by_default": {
                    "sse_algorithm": "aws:kms" if kms_key_arn else "AES256",
                    "kms_master_key_id": kms_key_arn,
                },
                "bucket_key_enabled": kms_key_arn is not None,
            }
        ],
        opts=opts,
    )
    aws.s3.BucketLifecycleConfiguration(
        f"{name}-lifecycle",
        bucket=bucket.bucket,
        rules=[{"id": "expire", "status": "Enabled", "filter": {}, "expiration": {"days": KEPT_DAYS}}],
        opts=opts,
    )
    aws.s3.BucketPolicy(
        f"{name}-policy", bucket=bucket.bucket, policy=bucket.arn.apply(policies.bucket_tls_only), opts=opts
    )
    return bucket
