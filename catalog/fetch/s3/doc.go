// Package s3 reads models that lie in stores which speak S3: Amazon's, MinIO, Ceph, and others. It knows nothing of where
// its keys are kept.
package s3
