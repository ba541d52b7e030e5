// Package suite is the official conformance suite of the Gateway API as one test program.
//
// Its flags are the suite's own, and -only. The suite's -run-test is not used: with it the suite no longer asks the
// GatewayClass what the implementation supports.
package suite

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/gateway-api/conformance"
	"sigs.k8s.io/gateway-api/conformance/tests"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/yaml"
)

var only = flag.String("only", "", "names of the tests to run, with commas between; all if empty")

func TestConformance(t *testing.T) {
	options := conformance.DefaultOptions(t)
	chosen := choose(t, *only)
	run, err := suite.NewConformanceTestSuite(options)
	require.NoError(t, err)
	if path := options.ReportOutputPath; path != "" {
		t.Cleanup(func() { writeReport(t, run, path) })
	}
	run.Setup(t, chosen)
	require.NoError(t, run.Run(t, chosen))
}

// choose gives the suite's tests of these names in the suite's order; a name it does not have ends the run.
func choose(t *testing.T, names string) []suite.ConformanceTest {
	if names == "" {
		return tests.ConformanceTests
	}
	wanted := strings.Split(names, ",")
	var chosen []suite.ConformanceTest
	for _, test := range tests.ConformanceTests {
		if slices.Contains(wanted, test.ShortName) {
			chosen = append(chosen, test)
		}
	}
	require.Len(t, chosen, len(wanted), "the suite does not have each of %q once", wanted)
	return chosen
}

func writeReport(t *testing.T, run *suite.ConformanceTestSuite, path string) {
	report, err := run.Report()
	require.NoError(t, err)
	text, err := yaml.Marshal(report)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o600))
}
