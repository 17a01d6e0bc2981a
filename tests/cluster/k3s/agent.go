package main

import (
	"fmt"
	"net/url"
	"path/filepath"
)

// join makes this machine a node of the cluster of `server`, which lets it in for the token.
func (n *node) join() error {
	address, err := url.Parse(n.settings.one("server"))
	if err != nil || address.Host == "" || n.settings.one("token") == "" {
		return fmt.Errorf("an agent needs a server and a token")
	}
	trusted := filepath.Join(n.agent, "ca.crt")
	err = n.until(address.Host, func() error {
		certificate, err := authorityOf(address.Host)
		if err != nil {
			return err
		}
		return writePEM(trusted, "CERTIFICATE", certificate)
	})
	if err != nil {
		return err
	}
	first := filepath.Join(n.agent, "join.kubeconfig")
	server := address.Scheme + "://" + address.Host
	token := map[string]string{"token": n.settings.one("token")}
	if err := writeAccess(first, server, trusted, token); err != nil {
		return err
	}
	if err := n.startContainerd(); err != nil {
		return err
	}
	own := filepath.Join(n.agent, "kubelet.kubeconfig")
	if err := n.startKubelet(trusted, "--bootstrap-kubeconfig="+first, "--kubeconfig="+own, "--rotate-certificates"); err != nil {
		return err
	}
	if err := ready(); err != nil {
		return err
	}
	pair := filepath.Join(n.agent, "pki", "kubelet-client-current.pem")
	api, err := newClient(server, trusted, pair, pair)
	if err != nil {
		return err
	}
	return n.connectPods(api)
}
