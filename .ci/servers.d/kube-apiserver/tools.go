//go:build tools

// Package tools pins kube-apiserver and etcd by checksum for the election tests.
package tools

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
)
