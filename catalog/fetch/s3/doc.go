// Package s3 fetches from stores that speak S3.
package s3
