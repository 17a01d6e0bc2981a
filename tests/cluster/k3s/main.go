// A stand-in for k3s: its command line, its files and its token in front of Debian's Kubernetes, etcd and containerd.
//
// The real one cannot be had where the tests run. This one does what the product's user data asks of it and no more:
// `k3s server`, `k3s agent` and `k3s kubectl`, told by /etc/rancher/k3s/config.yaml, by config.yaml.d/*.yaml beside it
// and by flags. Everything that it starts is carried in its own file.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

const (
	etc        = "/etc/rancher/k3s"
	lib        = "/var/lib/rancher/k3s"
	kubeconfig = etc + "/k3s.yaml"
	logs       = "/var/log/k3s"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "k3s:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("server, agent or kubectl?")
	}
	programs, err := unpack()
	if err != nil {
		return err
	}
	switch args[0] {
	case "kubectl":
		environment := append(os.Environ(), "KUBECONFIG="+kubeconfig)
		return syscall.Exec(filepath.Join(programs, "kubectl"), args, environment)
	case "server", "agent":
		settings, err := readSettings(etc, args[1:])
		if err != nil {
			return err
		}
		node, err := newNode(programs, settings)
		if err != nil {
			return err
		}
		if args[0] == "server" {
			return node.serve()
		}
		return node.join()
	default:
		return fmt.Errorf("this stand-in has no %q", args[0])
	}
}
