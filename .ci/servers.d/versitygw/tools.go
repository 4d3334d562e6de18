//go:build tools

// Package tools pins versitygw by checksum for the store conformance suite.
package tools

import _ "github.com/versity/versitygw/cmd/versitygw"
