module sluice.dev/conformance/monitoring

go 1.26.0

// For the definitions in its examples alone.
require github.com/prometheus-operator/prometheus-operator v0.85.0
