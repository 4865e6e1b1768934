// A CoAP client with go-coap and pion's DTLS that makes requests as its standard input says, and prints a line for each
// handshake, response and notification. The client with Californium has the same options, commands and lines.
package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"github.com/plgd-dev/go-coap/v3/udp/client"
)

const timeout = 20 * time.Second

// Lines are whole: notifications are printed while requests are made.
var output sync.Mutex

func print(line string) {
	output.Lock()
	defer output.Unlock()
	fmt.Println(line)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func main() {
	connector := newConnector()
	var connection *client.Conn
	commands := bufio.NewScanner(os.Stdin)
	commands.Buffer(nil, 1<<20)
	for commands.Scan() {
		command := strings.SplitN(commands.Text(), " ", 3)
		if command[0] == "resume" {
			// The old socket is closed without a close_notify. The next request makes a new handshake, with the last
			// one's session id.
			connector.abandon()
			connection = nil
			continue
		}
		if connection == nil {
			var err error
			if connection, err = connector.connect(); err != nil {
				print("handshake failed: " + err.Error())
				print("response failed: no session")
				continue
			}
		}
		run(connection, command)
	}
	check(commands.Err())
}

func run(connection *client.Conn, command []string) {
	switch command[0] {
	case "post":
		post(connection, command[1], []byte(command[2]))
	case "post-file":
		payload, err := os.ReadFile(command[2])
		check(err)
		post(connection, command[1], payload)
	case "get":
		within(func(ctx context.Context) (*pool.Message, error) {
			path, query := split(command[1])
			return connection.Get(ctx, path, query...)
		})
	case "observe":
		path, query := split(command[1])
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		_, err := connection.Observe(ctx, path, func(notification *pool.Message) {
			show("notification", notification)
		}, query...)
		if err != nil {
			print("notification failed: " + err.Error())
		}
	default:
		check(fmt.Errorf("unknown command: %s", command[0]))
	}
}

func post(connection *client.Conn, path string, payload []byte) {
	within(func(ctx context.Context) (*pool.Message, error) {
		path, query := split(path)
		return connection.Post(ctx, path, message.AppJSON, bytes.NewReader(payload), query...)
	})
}

func within(request func(context.Context) (*pool.Message, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	response, err := request(ctx)
	if err != nil {
		print("response failed: " + err.Error())
		return
	}
	show("response", response)
}

// show prints a message's code, as in 2.05, and its payload.
func show(kind string, message *pool.Message) {
	var payload []byte
	if body := message.Body(); body != nil {
		payload, _ = io.ReadAll(body)
	}
	code := message.Code()
	print(fmt.Sprintf("%s %d.%02d %s", kind, code>>5, code&31, payload))
}

// split separates a path from its query.
func split(path string) (string, []message.Option) {
	path, query, _ := strings.Cut(path, "?")
	var options []message.Option
	for part := range strings.SplitSeq(query, "&") {
		if part != "" {
			options = append(options, message.Option{ID: message.URIQuery, Value: []byte(part)})
		}
	}
	return "/" + path, options
}

func init() {
	flag.CommandLine.Init("pion-client", flag.ExitOnError)
}
