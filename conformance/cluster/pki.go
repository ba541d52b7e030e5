package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// clients of the API server, each with a certificate and a kubeconfig. The names and groups are what its authorizers
// know: https://kubernetes.io/docs/setup/best-practices/certificates/.
func clients(nodes []server) []client {
	all := []client{
		{"admin", "admin", []string{"system:masters"}},
		{"kube-controller-manager", "system:kube-controller-manager", nil},
		{"kube-scheduler", "system:kube-scheduler", nil},
		{"kube-proxy", "system:kube-proxy", nil},
		{"apiserver-kubelet-client", "kube-apiserver-kubelet-client", []string{"system:masters"}},
	}
	for _, node := range nodes {
		all = append(all, client{"kubelet-" + node.name, "system:node:" + node.name, []string{"system:nodes"}})
	}
	return all
}

// server is known by its addresses, and by a name beside those of the API server.
type server struct {
	name      string
	addresses []string
}

type client struct {
	file   string
	user   string
	groups []string
}

// lifetime is far above that of a cluster.
const lifetime = 5 * 365 * 24 * time.Hour

// authority signs what the cluster's parts show each other.
type authority struct {
	dir         string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// pki writes into args[0] an authority, serving certificates of the API server (server) and of each node's kubelet
// (serving-NODE), the clients' certificates and kubeconfigs, and the key that service account tokens are signed with.
func pki(args []string) error {
	if len(args) < 3 {
		return errors.New("usage: cluster pki DIRECTORY https://SERVER:PORT ADDRESS,... [NODE=ADDRESS,...]...")
	}
	dir, api := args[0], args[1]
	if _, err := url.Parse(api); err != nil {
		return err
	}
	var nodes []server
	for _, text := range args[3:] {
		name, addresses, found := strings.Cut(text, "=")
		if !found {
			return fmt.Errorf("%s is no NODE=ADDRESS,...", text)
		}
		nodes = append(nodes, server{name, strings.Split(addresses, ",")})
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	ca, err := newAuthority(dir)
	if err != nil {
		return err
	}
	names := []string{
		"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc.cluster.local",
	}
	if err := ca.issueServing("server", "kube-apiserver", names, strings.Split(args[2], ",")); err != nil {
		return err
	}
	for _, node := range nodes {
		user := "system:node:" + node.name
		if err := ca.issueServing("serving-"+node.name, user, []string{node.name}, node.addresses); err != nil {
			return err
		}
	}
	for _, c := range clients(nodes) {
		if err := ca.issueClient(c, api); err != nil {
			return err
		}
	}
	return writeTokenKey(dir)
}

func newAuthority(dir string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := template(pkix.Name{CommonName: "cluster"})
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{dir, certificate, key}, write(dir, "ca.crt", certificatePEM(der))
}

func template(subject pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		// Clocks of one machine never differ; an hour is for those who compare to the second.
		NotBefore: now.Add(-time.Hour),
		NotAfter:  now.Add(lifetime),
	}, nil
}

func (a *authority) issueServing(file, user string, names, addresses []string) error {
	certificate, err := template(pkix.Name{CommonName: user})
	if err != nil {
		return err
	}
	certificate.DNSNames = names
	for _, text := range addresses {
		address := net.ParseIP(text)
		if address == nil {
			return fmt.Errorf("%s is no address", text)
		}
		certificate.IPAddresses = append(certificate.IPAddresses, address)
	}
	_, _, err = a.issue(file, certificate, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
	return err
}

func (a *authority) issueClient(c client, server string) error {
	certificate, err := template(pkix.Name{CommonName: c.user, Organization: c.groups})
	if err != nil {
		return err
	}
	shown, key, err := a.issue(c.file, certificate, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return err
	}
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: cluster, cluster: {server: %q, certificate-authority-data: %s}}]
users: [{name: %q, user: {client-certificate-data: %s, client-key-data: %s}}]
contexts: [{name: cluster, context: {cluster: cluster, user: %q}}]
current-context: cluster
`, server, base64.StdEncoding.EncodeToString(certificatePEM(a.certificate.Raw)), c.user,
		base64.StdEncoding.EncodeToString(shown), base64.StdEncoding.EncodeToString(key), c.user)
	return write(a.dir, c.file+".kubeconfig", []byte(text))
}

// issue signs a certificate for a new key, writes both, and gives both as PEM.
func (a *authority) issue(file string, c *x509.Certificate, usage ...x509.ExtKeyUsage) ([]byte, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageDigitalSignature, usage
	der, err := x509.CreateCertificate(rand.Reader, c, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	keyText, err := privatePEM(key)
	if err != nil {
		return nil, nil, err
	}
	shown := certificatePEM(der)
	return shown, keyText, errors.Join(write(a.dir, file+".crt", shown), write(a.dir, file+".key", keyText))
}

func writeTokenKey(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private, err := privatePEM(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	shown := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	return errors.Join(write(dir, "tokens.key", private), write(dir, "tokens.pub", shown))
}

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func privatePEM(key crypto.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func write(dir, name string, content []byte) error {
	return os.WriteFile(filepath.Join(dir, name), content, 0o600)
}
