package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

const pauseBetween = 10 * time.Second

// client speaks to the cluster's server.
type client struct {
	url  string
	http *http.Client
}

type seen struct{ name, address, pods string }

func newClient(url, authority, certificate, key string) (*client, error) {
	trusted, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(trusted)
	config := &tls.Config{RootCAs: pool}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		return &pair, err
	}
	return &client{url, &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: time.Minute}}, nil
}

func (c *client) do(method, path string, body any) ([]byte, error) {
	content, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequest(method, c.url+path, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode >= 300 && answer.StatusCode != http.StatusConflict {
		return nil, fmt.Errorf("%s %s: %s", method, path, answer.Status)
	}
	return text, nil
}

func (c *client) nodes() ([]seen, error) {
	text, err := c.do("GET", "/api/v1/nodes", nil)
	if err != nil {
		return nil, err
	}
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Spec     struct{ PodCIDR string }
			Status   struct {
				Addresses []struct{ Type, Address string }
			}
		}
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	var found []seen
	for _, item := range list.Items {
		one := seen{name: item.Metadata.Name, pods: item.Spec.PodCIDR}
		for _, address := range item.Status.Addresses {
			if address.Type == "InternalIP" {
				one.address = address.Address
			}
		}
		found = append(found, one)
	}
	return found, nil
}

// authorityOf asks a server whom it trusts. As with k3s and a token of its short form, the first answer is believed.
func authorityOf(address string) ([]byte, error) {
	dialer := &net.Dialer{Timeout: 30 * time.Second}
	connection, err := tls.DialWithDialer(dialer, "tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	chain := connection.ConnectionState().PeerCertificates
	last := chain[len(chain)-1]
	if !last.IsCA {
		return nil, fmt.Errorf("%s does not show whom it trusts", address)
	}
	return last.Raw, nil
}

// writeAccess writes a kubeconfig; what is in files is put into it, so that it can be taken elsewhere.
func writeAccess(path, server, authority string, user map[string]string) error {
	trusted, err := os.ReadFile(authority)
	if err != nil {
		return err
	}
	lines := ""
	for _, name := range []string{"client-certificate", "client-key"} {
		if file := user[name]; file != "" {
			content, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			lines += fmt.Sprintf("    %s-data: %s\n", name, base64.StdEncoding.EncodeToString(content))
		}
	}
	if token := user["token"]; token != "" {
		lines += fmt.Sprintf("    token: %q\n", token)
	}
	text := fmt.Sprintf(access, base64.StdEncoding.EncodeToString(trusted), server, lines)
	draft := path + ".draft"
	if err := os.WriteFile(draft, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(draft, path)
}

// access is laid out as k3s lays it out.
const access = `apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: %s
    server: %s
  name: default
contexts:
- context:
    cluster: default
    user: default
  name: default
current-context: default
kind: Config
preferences: {}
users:
- name: default
  user:
%s`
