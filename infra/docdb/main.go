// A MongoDB-compatible server for machines that have no mongod: FerretDB over SQLite.
//
// FerretDB's own authentication can't be reached from outside its packages, and has no roles. So
// FerretDB listens on a private socket, and before it stands a front (front.go) that speaks TLS,
// logs users in (users.go) and lets through what their roles allow.
package main

import (
	"context"
	"crypto/tls"
	"errors"
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

// The name of FerretDB's socket, relative to the data folder: a socket's path may not be long.
const socket = "private/socket"

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: DOCDB_OWNER_PASSWORD=... docdb ADDRESS DATA_FOLDER CERTIFICATE KEY")
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		log.Fatal(err)
	}
}

func run(address, folder, certificate, key string) error {
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
	users, err := openUsers(filepath.Join(folder, "users.json"), os.Getenv("DOCDB_OWNER_PASSWORD"))
	if err != nil {
		return err
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	listener, err := tls.Listen("tcp", address, config)
	if err != nil {
		return err
	}
	defer listener.Close()
	// After listening: so that a second server by mistake doesn't take the socket of the first.
	if err := preparePrivate(folder); err != nil {
		return err
	}
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{Unix: socket},
		Handler:   "sqlite",
		SQLiteURL: "file:" + folder + "/",
	})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	go accept(listener, users)
	return server.Run(ctx)
}

// preparePrivate makes the folder of FerretDB's socket, which nobody else may enter: who reaches
// the socket has all rights. It removes the socket that a killed server left.
func preparePrivate(folder string) error {
	if err := os.Chdir(folder); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Dir(socket)); err != nil {
		return err
	}
	return os.Mkdir(filepath.Dir(socket), 0o700)
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
