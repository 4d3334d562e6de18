//go:build tools

// Package tools pins MinIO by checksum for the store conformance suite.
package tools

import _ "github.com/minio/minio"
