// A MongoDB-compatible server for machines that have no mongod: FerretDB over PostgreSQL, which this
// program starts for itself (postgres.go). ferretdb.patch is what FerretDB lacks to use its indexes.
//
// FerretDB's own authentication can't be reached from outside its packages, and has no roles. So
// FerretDB listens on a private socket, and before it stands a front (front.go) that speaks TLS,
// logs users in (users.go), lets through what their roles allow, and orders writes (writes.go).
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
)

// The folder of the sockets, and FerretDB's, relative to the data folder: a socket's path may not be long.
const (
	private = "private"
	socket  = private + "/socket"
)

func main() {
	if len(os.Args) != 6 {
		log.Fatal("usage: DOCDB_OWNER_PASSWORD=... docdb ADDRESS DATA_FOLDER CERTIFICATE KEY POSTGRESQL_PROGRAMS")
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
		log.Fatal(err)
	}
}

func run(address, folder, certificate, key, programs string) error {
	// Each request would be a line otherwise.
	slog.SetLogLoggerLevel(slog.LevelWarn)
	folder, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return err
	}
	lock, err := lockFolder(folder)
	if err != nil {
		return err
	}
	defer lock.Close()
	users, err := openUsers(filepath.Join(folder, "users.json"), os.Getenv("DOCDB_OWNER_PASSWORD"))
	if err != nil {
		return err
	}
	if err := preparePrivate(folder); err != nil {
		return err
	}
	postgres, err := startPostgres(programs)
	if err != nil {
		return err
	}
	defer postgres.stop()
	url, err := postgresURL()
	if err != nil {
		return err
	}
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:      ferretdb.ListenerConfig{Unix: socket},
		Handler:       "postgresql",
		PostgreSQLURL: url,
	})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// Last: who finds it listening is served.
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	listener, err := tls.Listen("tcp", address, config)
	if err != nil {
		return err
	}
	defer listener.Close()
	go accept(listener, users)
	go func() {
		<-postgres.ended
		if ctx.Err() == nil {
			log.Fatalf("PostgreSQL ended: %s", postgres.command.ProcessState)
		}
	}()
	return server.Run(ctx)
}

// lockFolder takes the data folder until this program ends, so that a second by mistake doesn't take
// the data of the first. One that was killed may need a moment to be gone.
func lockFolder(folder string) (*os.File, error) {
	lock, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	for range 50 {
		if err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			return lock, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil, fmt.Errorf("another docdb works in %s: %w", folder, err)
}

// preparePrivate makes the folder of the sockets, which nobody else may enter: who reaches them has
// all rights. It removes what a killed server left there.
func preparePrivate(folder string) error {
	if err := os.Chdir(folder); err != nil {
		return err
	}
	if err := os.RemoveAll(private); err != nil {
		return err
	}
	return os.Mkdir(private, 0o700)
}

func accept(listener net.Listener, users *users) {
	for {
		client, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Such as too many open files: it passes when clients leave.
			log.Print(err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		go serve(client, users)
	}
}
