package suite

import (
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/gateway-api/conformance/tests"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/gateway-api/pkg/features"
)

var featuresOutput = flag.String("features-output", "", "file for the suite's features and the tests of each")

// A feature that the suite knows, the profiles that have it, and the tests that need it.
type feature struct {
	Name     features.FeatureName           `json:"name"`
	Channel  features.FeatureChannel        `json:"channel"`
	Core     []suite.ConformanceProfileName `json:"core"`
	Extended []suite.ConformanceProfileName `json:"extended"`
	Tests    []string                       `json:"tests"`
}

// TestFeatures writes every feature of gateways; those of meshes, and tests that need one, are left out.
func TestFeatures(t *testing.T) {
	profiles := []suite.ConformanceProfile{
		suite.GatewayHTTPConformanceProfile, suite.GatewayGRPCConformanceProfile, suite.GatewayTLSConformanceProfile,
		suite.GatewayTCPConformanceProfile, suite.GatewayUDPConformanceProfile,
	}
	mesh := features.SetsToNamesSet(features.MeshCoreFeatures, features.MeshExtendedFeatures)
	all := []feature{}
	for _, known := range features.AllFeatures.UnsortedList() {
		if mesh.Has(known.Name) {
			continue
		}
		one := feature{known.Name, known.Channel, []suite.ConformanceProfileName{}, []suite.ConformanceProfileName{}, []string{}}
		for _, profile := range profiles {
			if profile.CoreFeatures.Has(known.Name) {
				one.Core = append(one.Core, profile.Name)
			} else if profile.ExtendedFeatures.Has(known.Name) {
				one.Extended = append(one.Extended, profile.Name)
			}
		}
		for _, test := range tests.ConformanceTests {
			if slices.Contains(test.Features, known.Name) && !mesh.HasAny(test.Features...) {
				one.Tests = append(one.Tests, test.ShortName)
			}
		}
		slices.Sort(one.Tests)
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b feature) int { return strings.Compare(string(a.Name), string(b.Name)) })
	text, err := json.MarshalIndent(all, "", " ")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(*featuresOutput, append(text, '\n'), 0o600))
}
