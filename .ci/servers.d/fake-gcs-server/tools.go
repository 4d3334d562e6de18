//go:build tools

// Package tools pins fake-gcs-server by checksum for the store conformance suite.
package tools

import _ "github.com/fsouza/fake-gcs-server"
