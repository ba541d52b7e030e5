//go:build tools

// Package tools keeps the version of helm with those of what it needs.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
