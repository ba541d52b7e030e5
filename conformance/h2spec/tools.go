//go:build tools

// Package tools keeps the judge's version with those of what it needs.
package tools

import _ "github.com/summerwind/h2spec/cmd/h2spec"
