//go:build tools

// Package tools keeps the version of gRPC's own interop client and server with those of what they need.
package tools

import (
	_ "google.golang.org/grpc/interop/client"
	_ "google.golang.org/grpc/interop/server"
)
