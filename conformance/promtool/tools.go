//go:build tools

// Package tools keeps the version of promtool with those of what it needs.
package tools

import _ "github.com/prometheus/prometheus/cmd/promtool"
