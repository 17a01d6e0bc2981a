package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// processes are what runs under us. They end with us, however we end.
type processes struct {
	programs string
	running  []*exec.Cmd
	ended    chan string
	stop     chan os.Signal
}

func init() {
	// A child is killed when the thread that started it ends: the main thread starts them all, and stays.
	runtime.LockOSThread()
}

func newProcesses(programs string) *processes {
	p := &processes{programs: programs, ended: make(chan string, 16), stop: make(chan os.Signal, 1)}
	signal.Notify(p.stop, syscall.SIGTERM, syscall.SIGINT)
	return p
}

// start starts a program whose output goes to a file of its own.
func (p *processes) start(name string, args ...string) error {
	if err := os.MkdirAll(logs, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(logs, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(filepath.Join(p.programs, name), args...)
	command.Stdout, command.Stderr = log, log
	command.Env = append(os.Environ(), "PATH="+p.programs+":"+os.Getenv("PATH"), "NOTIFY_SOCKET=")
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return err
	}
	fmt.Println("started", name)
	p.running = append(p.running, command)
	go func() {
		err := command.Wait()
		p.ended <- fmt.Sprintf("%s ended: %v", name, err)
	}()
	return nil
}

// until asks again and again, as long as everything runs and nobody wants us to stop.
func (p *processes) until(what string, done func() error) error {
	fmt.Println("waiting for", what)
	var last string
	for {
		err := done()
		if err == nil {
			return nil
		}
		if err.Error() != last {
			last = err.Error()
			fmt.Printf("waiting for %s: %v\n", what, err)
		}
		if err := p.pause(time.Second); err != nil {
			return err
		}
	}
}

// pause returns nil after a while, or at once what ended us.
func (p *processes) pause(while time.Duration) error {
	select {
	case name := <-p.ended:
		return fmt.Errorf("%s; see %s", name, logs)
	case <-p.stop:
		p.end()
		os.Exit(0)
		return nil
	case <-time.After(while):
		return nil
	}
}

// end asks the last started first, and returns when all are gone or had ten seconds.
func (p *processes) end() {
	for index := len(p.running) - 1; index >= 0; index-- {
		_ = p.running[index].Process.Signal(syscall.SIGTERM)
	}
	late := time.After(10 * time.Second)
	for range p.running {
		select {
		case <-p.ended:
		case <-late:
			return
		}
	}
}
