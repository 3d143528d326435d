// Command ysync is the sync service: it serves documents to Yjs clients and
// looks after the data folder.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
	"go.uber.org/zap/zapcore"
)

// Exit codes. A log whose disk failed ends the process with 74 by itself
// (pebble.ExitDiskFailed).
const (
	exitFailed   = 1 // anything not named below
	exitUsage    = 2 // bad flag, environment variable or configuration file
	exitInUse    = 3 // another process has the data folder open
	exitData     = 4 // the data folder is unreadable, damaged or of a newer release
	exitNotFound = 5 // no such document or moment
	exitConflict = 6 // the document exists already, or has changed meanwhile
	// exitUnavailable: the server cannot be reached, or takes nothing now.
	exitUnavailable = 7
	exitDenied      = 8 // the token does not grant it
)

const description = `Sync service for collaborative Yjs documents.

Flags come first, then environment variables, then the configuration file
(--config), then the defaults. Sizes take KiB, MiB, GiB (or KB, MB, GB) and
plain bytes; durations take ms, s, m, h.

Exit codes: 0 done, 1 failed, 2 bad flag or configuration, 3 the data folder is
in use, 4 stored data is damaged or of a newer release, 5 no such document or
moment, 6 the document exists already or has changed, 7 the server cannot be
reached or takes nothing now, 8 not permitted, 74 the disk failed.`

type cli struct {
	Serve    serveCmd    `cmd:"" help:"Serve documents until SIGTERM or SIGINT."`
	Doc      docCmd      `cmd:"" help:"Look at documents and change them, at a running server (--server) or on the stores."`
	Snapshot snapshotCmd `cmd:"" help:"The past of documents: stored states, restoring, differences, retention."`
	Session  sessionCmd  `cmd:"" help:"The open sessions of a running server, and what one of them does."`
	Doctor   doctorCmd   `cmd:"" help:"Check what a server with these flags would stand on: configuration, folder, database, bucket, limits, clock."`
	Backup   backupCmd   `cmd:"" help:"Back the data folder up, while its server runs (--server) or not."`
	Migrate  migrateCmd  `cmd:"" help:"Import the documents of another server (y-websocket, Hocuspocus, y-sweet), or move those of this one to other stores."`
	Token    tokenCmd    `cmd:"" help:"Tokens and keys for development; in production your own service makes the tokens."`
	Access   accessCmd   `cmd:"" help:"Take back what tokens grant: end sessions, change roles."`
	Version  versionCmd  `cmd:"" help:"Print the version of this program."`
}

// exitError is an error with the exit code that it stands for.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// streams are where commands write to.
type streams struct {
	out io.Writer
	err zapcore.WriteSyncer
}

// run is the program. It returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	var (
		c      cli
		exited = -1
	)
	parser, err := kong.New(&c,
		kong.Name("ysync"),
		kong.Description(description),
		kong.DefaultEnvars("YSYNC"),
		kong.Resolvers(&configFile{}),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: false, WrapUpperBound: 100}),
	)
	if err != nil {
		fmt.Fprintln(stderr, "ysync:", err)
		return exitFailed
	}
	command, err := parser.Parse(args)
	if exited >= 0 {
		return exited // --help was printed
	}
	if err == nil {
		command.BindTo(context.Background(), (*context.Context)(nil))
		err = command.Run(streams{stdout, zapcore.AddSync(stderr)})
	} else {
		err = &exitError{exitUsage, err}
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "ysync:", err)
	if coded, ok := errors.AsType[*exitError](err); ok {
		if coded.code == exitUsage {
			fmt.Fprintln(stderr, "Run with --help to see what there is.")
		}
		return coded.code
	}
	return exitFailed
}
