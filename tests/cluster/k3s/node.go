package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	pods       = "10.42.0.0/16"
	services   = "10.43.0.0/16"
	firstOf    = "10.43.0.1"
	port       = "6443"
	containerd = "/run/k3s/containerd/containerd.sock"
	sandbox    = "localhost/busybox:debian"
)

// node is what servers and agents are alike: containerd, the kubelet, kube-proxy, and ways to the pods of the others.
type node struct {
	*processes
	settings settings
	name     string
	address  string
	agent    string // folder of what is ours as a node
}

func newNode(programs string, told settings) (*node, error) {
	n := &node{processes: newProcesses(programs), settings: told, agent: filepath.Join(lib, "agent")}
	hostname, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	n.name = strings.ToLower(hostname)
	if told.one("with-node-id") == "true" {
		id, err := nodeID()
		if err != nil {
			return nil, err
		}
		n.name += "-" + id
	}
	if n.address = told.one("node-ip"); n.address == "" {
		// Nothing is sent: this asks which way out there is.
		way, err := net.Dial("udp", "192.0.2.1:9")
		if err != nil {
			return nil, err
		}
		n.address = way.LocalAddr().(*net.UDPAddr).IP.String()
		way.Close()
	}
	return n, os.MkdirAll(n.agent, 0o700)
}

// nodeID is the same for as long as the disk lives.
func nodeID() (string, error) {
	path := "/etc/rancher/node/id"
	if known, err := os.ReadFile(path); err == nil {
		return string(known), nil
	}
	var fresh [4]byte
	if _, err := rand.Read(fresh[:]); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	id := hex.EncodeToString(fresh[:])
	return id, os.WriteFile(path, []byte(id), 0o600)
}

// startContainerd starts it with the network that it writes down once the cluster has given this node its part.
func (n *node) startContainerd() error {
	network := filepath.Join(n.agent, "etc", "cni")
	template := filepath.Join(n.agent, "network.template")
	if err := os.MkdirAll(network, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(template, []byte(networkTemplate), 0o600); err != nil {
		return err
	}
	config := filepath.Join(n.agent, "containerd.toml")
	text := fmt.Sprintf(containerdConfig, filepath.Join(n.agent, "containerd"), containerd, sandbox,
		n.programs, network, template, filepath.Join(n.programs, "runc"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	for _, path := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/bridge/bridge-nf-call-iptables"} {
		if err := os.WriteFile(path, []byte("1"), 0); err != nil {
			fmt.Println(err)
		}
	}
	if err := n.start("containerd", "--config", config); err != nil {
		return err
	}
	return n.until("containerd", func() error {
		image := filepath.Join(n.programs, "busybox.tar")
		said, err := exec.Command(filepath.Join(n.programs, "ctr"), "-a", containerd, "-n", "k8s.io", "images", "import",
			"--snapshotter", "overlayfs", image).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%v: %s", err, said)
		}
		return nil
	})
}

// startKubelet starts it, and kube-proxy where the guest can do what that needs.
func (n *node) startKubelet(authority string, access ...string) error {
	config := filepath.Join(n.agent, "kubelet.json")
	content, err := json.MarshalIndent(map[string]any{
		"kind":           "KubeletConfiguration",
		"apiVersion":     "kubelet.config.k8s.io/v1beta1",
		"authentication": map[string]any{"x509": map[string]any{"clientCAFile": authority}, "anonymous": map[string]any{"enabled": false}},
		"authorization":  map[string]any{"mode": "Webhook"},
		"cgroupDriver":   "cgroupfs",
		"clusterDomain":  "cluster.local",
		"failSwapOn":     false,
		"resolvConf":     "/run/systemd/resolve/resolv.conf",
	}, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(config, content, 0o600); err != nil {
		return err
	}
	return n.start("kubelet", append([]string{
		"--config=" + config,
		"--hostname-override=" + n.name,
		"--node-ip=" + n.address,
		"--cert-dir=" + filepath.Join(n.agent, "pki"),
		"--container-runtime=remote",
		"--container-runtime-endpoint=unix://" + containerd,
		"--pod-infra-container-image=" + sandbox,
	}, access...)...)
}

// connectPods keeps a route to the pods of each other node, until we are to end.
func (n *node) connectPods(api *client) error {
	for {
		if others, err := api.nodes(); err != nil {
			fmt.Println("the nodes cannot be listed:", err)
		} else {
			for _, other := range others {
				if other.name != n.name && other.pods != "" && other.address != "" {
					said, err := exec.Command("ip", "route", "replace", other.pods, "via", other.address).CombinedOutput()
					if err != nil {
						fmt.Printf("no way to the pods of %s: %s\n", other.name, said)
					}
				}
			}
		}
		if err := n.pause(pauseBetween); err != nil {
			return err
		}
	}
}

// ready tells systemd that we are up.
func ready() error {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil
	}
	connection, err := net.Dial("unixgram", socket)
	if err != nil {
		return err
	}
	defer connection.Close()
	_, err = connection.Write([]byte("READY=1"))
	return err
}

const networkTemplate = `{
  "cniVersion": "0.3.1",
  "name": "pods",
  "plugins": [
    {
      "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "ranges": [{{range $i, $range := .PodCIDRRanges}}{{if $i}}, {{end}}[{"subnet": "{{$range}}"}]{{end}}],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    }
  ]
}
`

const containerdConfig = `version = 2
root = "%s"
state = "/run/k3s/containerd"
[grpc]
  address = "%s"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%s"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "%s"
    conf_dir = "%s"
    conf_template = "%s"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "%s"
`
