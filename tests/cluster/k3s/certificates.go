package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const year = 365 * 24 * time.Hour

// authority is the one that everybody in the cluster trusts.
type authority struct {
	folder      string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func (a *authority) certificateFile() string { return filepath.Join(a.folder, "ca.crt") }
func (a *authority) keyFile() string         { return filepath.Join(a.folder, "ca.key") }

// openAuthority reads it, after making it if this is the first time.
func openAuthority(folder string) (*authority, error) {
	a := &authority{folder: folder}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	if _, err := os.Stat(a.certificateFile()); os.IsNotExist(err) {
		if err := a.make(); err != nil {
			return nil, err
		}
	}
	key, err := readPEM(a.keyFile())
	if err != nil {
		return nil, err
	}
	certificate, err := readPEM(a.certificateFile())
	if err != nil {
		return nil, err
	}
	if a.key, err = x509.ParseECPrivateKey(key); err != nil {
		return nil, err
	}
	a.certificate, err = x509.ParseCertificate(certificate)
	return a, err
}

func (a *authority) make() error {
	key, err := makeKey(a.keyFile())
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "k3s-ca"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(10 * year),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	content, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	return writePEM(a.certificateFile(), "CERTIFICATE", content) // last: it says that both are there
}

// client writes a fresh certificate that says who its holder is; its key is beside it.
func (a *authority) client(file, name, group string) error {
	return a.issue(file, &x509.Certificate{
		Subject:     pkix.Name{CommonName: name, Organization: []string{group}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// server writes a fresh certificate of a server with these names and addresses, followed by the authority's own.
func (a *authority) server(file string, names []string) error {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "k3s"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return a.issue(file, template, a.certificate.Raw)
}

func (a *authority) issue(file string, template *x509.Certificate, chain ...[]byte) error {
	key, err := makeKey(filepath.Join(a.folder, file+".key"))
	if err != nil {
		return err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return err
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(year)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	content, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return err
	}
	return writePEM(filepath.Join(a.folder, file+".crt"), "CERTIFICATE", append([][]byte{content}, chain...)...)
}

func makeKey(path string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	content, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writePEM(path, "EC PRIVATE KEY", content)
}

func readPEM(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, os.ErrInvalid
	}
	return block.Bytes, nil
}

func writePEM(path, kind string, blocks ...[]byte) error {
	var text []byte
	for _, block := range blocks {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: block})...)
	}
	return os.WriteFile(path, text, 0o600)
}
