package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
)

const etcd = "http://127.0.0.1:2379"

// server is the control plane, which is a node too.
type server struct {
	*node
	folder    string
	authority *authority
}

func (n *node) serve() error {
	s := &server{node: n, folder: filepath.Join(lib, "server")}
	if n.settings.one("token") == "" {
		return fmt.Errorf("a server needs a token")
	}
	if err := s.certify(); err != nil {
		return err
	}
	api, err := s.startControlPlane()
	if err != nil {
		return err
	}
	if err := letNodesJoin(api); err != nil {
		return err
	}
	if err := s.publish(); err != nil {
		return err
	}
	if err := n.startContainerd(); err != nil {
		return err
	}
	if err := n.startKubelet(s.authority.certificateFile(), "--kubeconfig="+s.file("kubelet.kubeconfig")); err != nil {
		return err
	}
	if err := ready(); err != nil {
		return err
	}
	return n.connectPods(api)
}

func (s *server) file(name string) string { return filepath.Join(s.folder, "tls", name) }

// certify writes fresh certificates for all parts; the server's holds for every address that we are told.
func (s *server) certify() (err error) {
	if s.authority, err = openAuthority(filepath.Join(s.folder, "tls")); err != nil {
		return err
	}
	names := []string{
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		"localhost", "127.0.0.1", firstOf, s.name, s.address,
	}
	if err := s.authority.server("apiserver", append(names, s.settings["tls-san"]...)); err != nil {
		return err
	}
	clients := map[string][2]string{
		"admin":              {"system:admin", "system:masters"},
		"controller-manager": {"system:kube-controller-manager", ""},
		"scheduler":          {"system:kube-scheduler", ""},
		"kubelet":            {"system:node:" + s.name, "system:nodes"},
	}
	for file, holder := range clients {
		if err := s.authority.client(file, holder[0], holder[1]); err != nil {
			return err
		}
		user := map[string]string{"client-certificate": s.file(file + ".crt"), "client-key": s.file(file + ".key")}
		if err := writeAccess(s.file(file+".kubeconfig"), local(), s.authority.certificateFile(), user); err != nil {
			return err
		}
	}
	if _, err := os.Stat(s.file("accounts.key")); os.IsNotExist(err) {
		_, err := makeKey(s.file("accounts.key"))
		return err
	}
	return nil
}

// startControlPlane starts etcd and what needs it, one after the other, and returns when all of it is asked to run.
func (s *server) startControlPlane() (*client, error) {
	err := s.start("etcd", "--data-dir="+filepath.Join(s.folder, "etcd"), "--name=default",
		"--listen-client-urls="+etcd, "--advertise-client-urls="+etcd,
		"--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
		"--initial-cluster=default=http://127.0.0.1:2380",
		"--heartbeat-interval=500", "--election-timeout=5000")
	if err != nil {
		return nil, err
	}
	err = s.until("etcd", func() error {
		answer, err := http.Get(etcd + "/health")
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("etcd says %s", answer.Status)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.startServer(); err != nil {
		return nil, err
	}
	api, err := newClient(local(), s.authority.certificateFile(), s.file("admin.crt"), s.file("admin.key"))
	if err != nil {
		return nil, err
	}
	err = s.until("kube-apiserver", func() error {
		_, err := api.do("GET", "/readyz", nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = s.start("kube-controller-manager",
		"--kubeconfig="+s.file("controller-manager.kubeconfig"), "--leader-elect=false",
		"--bind-address=127.0.0.1", "--port=0", "--use-service-account-credentials=true",
		"--root-ca-file="+s.authority.certificateFile(), "--service-account-private-key-file="+s.file("accounts.key"),
		"--cluster-signing-cert-file="+s.authority.certificateFile(), "--cluster-signing-key-file="+s.authority.keyFile(),
		"--allocate-node-cidrs=true", "--cluster-cidr="+pods, "--service-cluster-ip-range="+services)
	if err != nil {
		return nil, err
	}
	return api, s.start("kube-scheduler", "--kubeconfig="+s.file("scheduler.kubeconfig"), "--leader-elect=false",
		"--bind-address=127.0.0.1", "--port=0")
}

func (s *server) startServer() error {
	// Whoever has the token may ask for the certificate of a node, and for nothing else.
	joiners := filepath.Join(s.folder, "tokens.csv")
	line := s.settings.one("token") + ",system:bootstrap:k3s,k3s,system:bootstrappers\n"
	if err := os.WriteFile(joiners, []byte(line), 0o600); err != nil {
		return err
	}
	issuer := "https://kubernetes.default.svc.cluster.local"
	return s.start("kube-apiserver",
		"--etcd-servers="+etcd, "--secure-port="+port, "--insecure-port=0", "--advertise-address="+s.address,
		"--tls-cert-file="+s.file("apiserver.crt"), "--tls-private-key-file="+s.file("apiserver.key"),
		"--client-ca-file="+s.authority.certificateFile(), "--token-auth-file="+joiners,
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		"--kubelet-client-certificate="+s.file("admin.crt"), "--kubelet-client-key="+s.file("admin.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-cluster-ip-range="+services, "--service-account-issuer="+issuer, "--api-audiences="+issuer,
		"--service-account-signing-key-file="+s.file("accounts.key"), "--service-account-key-file="+s.file("accounts.key"))
}

// publish writes what people and the product look for.
func (s *server) publish() error {
	user := map[string]string{"client-certificate": s.file("admin.crt"), "client-key": s.file("admin.key")}
	if err := os.WriteFile(filepath.Join(s.folder, "node-token"), []byte(s.settings.one("token")+"\n"), 0o600); err != nil {
		return err
	}
	return writeAccess(kubeconfig, local(), s.authority.certificateFile(), user)
}

// letNodesJoin has the certificates that joining nodes ask for signed.
func letNodesJoin(api *client) error {
	for role, group := range map[string]string{
		"system:node-bootstrapper": "system:bootstrappers",
		"system:certificates.k8s.io:certificatesigningrequests:nodeclient":     "system:bootstrappers",
		"system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": "system:nodes",
	} {
		_, err := api.do("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", map[string]any{
			"metadata": map[string]any{"name": "k3s:" + role},
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
			"subjects": []any{map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func local() string { return "https://127.0.0.1:" + port }
