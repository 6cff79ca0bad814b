package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	accounts "os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The data of FerretDB's PostgreSQL, relative to the data folder.
const cluster = "postgres"

// Its settings. It has no address but a socket in the private folder, and lets in there only the user
// that it runs as: no password is needed.
var settings = []string{
	"listen_addresses=",
	"unix_socket_directories=../" + private, // a socket's path may not be long
	"unix_socket_permissions=0700",
	"port=5432",
	"max_connections=210",
	// An index is used wherever one fits, also before its table is analyzed, and read no further than needed.
	"enable_seqscan=off",
	"enable_bitmapscan=off",
	"plan_cache_mode=force_custom_plan",
	"jit=off",
	// If a part of it is killed it ends, and so does this program: a client knows what a lost connection
	// means, and not what FerretDB answers when PostgreSQL is away.
	"restart_after_crash=off",
	// Documents aren't for the log, nor are duplicate keys.
	"log_parameter_max_length=0",
	"log_parameter_max_length_on_error=0",
	"log_error_verbosity=terse",
	"log_min_messages=log",
}

// A running PostgreSQL. It ends when this program does, however that ends.
type postgres struct {
	command *exec.Cmd
	ended   chan struct{} // closed when it has
}

// The kernel ends it when the thread ends that started it: that must be the program's first.
func init() { runtime.LockOSThread() }

// startPostgres starts it, by the programs in a folder, and waits until it serves. No other
// docdb may work in the data folder.
func startPostgres(programs string) (*postgres, error) {
	for _, folder := range []string{cluster, cluster + ".new"} {
		if err := endRest(folder); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(cluster); errors.Is(err, os.ErrNotExist) {
		if err := makeCluster(programs); err != nil {
			return nil, fmt.Errorf("making PostgreSQL's data: %w", err)
		}
	}
	// It belongs to nobody now. Its number may be another process's by now, which PostgreSQL would wait for.
	pidFile := filepath.Join(cluster, "postmaster.pid")
	if err := os.Remove(pidFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	words := []string{"-D", cluster}
	for _, setting := range settings {
		words = append(words, "-c", setting)
	}
	p := &postgres{command(programs, "postgres", words...), make(chan struct{})}
	p.command.Stdout, p.command.Stderr = os.Stdout, os.Stderr
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.command.Wait() // it has said why
		close(p.ended)
	}()
	for {
		select {
		case <-p.ended:
			return nil, fmt.Errorf("PostgreSQL ended at its start: %s", p.command.ProcessState)
		case <-time.After(10 * time.Millisecond):
			// Its last line.
			if content, _ := os.ReadFile(pidFile); strings.Contains(string(content), "\nready") {
				return p, nil
			}
		}
	}
}

// stop ends it as it should: what its clients do is ended, and all is on the disk.
func (p *postgres) stop() {
	_ = p.command.Process.Signal(syscall.SIGINT)
	<-p.ended
}

// makeCluster makes its data: wholly or not at all.
func makeCluster(programs string) error {
	folder := cluster + ".new"
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	words := []string{"--pgdata", folder, "--auth", "peer", "--encoding", "UTF8", "--locale", "C", "--no-instructions"}
	if answer, err := command(programs, "initdb", words...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, answer)
	}
	return os.Rename(folder, cluster)
}

// command is a program of PostgreSQL's, which is killed when this one ends. Of the environment it
// gets nothing: there is a password in it.
func command(programs, name string, words ...string) *exec.Cmd {
	command := exec.Command(filepath.Join(programs, name), words...)
	command.Env = []string{"LC_ALL=C"}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return command
}

// endRest ends what a killed docdb left of a PostgreSQL: its processes work in its folder.
func endRest(folder string) error {
	there, err := os.Stat(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for range 500 {
		processes, err := filepath.Glob("/proc/[0-9]*")
		if err != nil {
			return err
		}
		rest := 0
		for _, process := range processes {
			program, _ := os.Readlink(process + "/exe")
			its, err := os.Stat(process + "/cwd")
			if err != nil || filepath.Base(program) != "postgres" || !os.SameFile(its, there) {
				continue
			}
			if pid, err := strconv.Atoi(filepath.Base(process)); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			rest++
		}
		if rest == 0 {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("a PostgreSQL from before doesn't end")
}

// postgresURL is how FerretDB reaches it.
func postgresURL() (string, error) {
	me, err := accounts.Current()
	if err != nil {
		return "", err
	}
	query := url.Values{
		// Short, and absolute, by which it is known to be a folder.
		"host": {"/proc/self/cwd/" + private}, "port": {"5432"},
		// A request takes two, see `slots`.
		"pool_max_conns": {"200"},
	}
	address := url.URL{Scheme: "postgres", User: url.User(me.Username), Path: "/postgres", RawQuery: query.Encode()}
	return address.String(), nil
}
