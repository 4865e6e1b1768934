package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/gob"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/pion/dtls/v4"
	"github.com/pion/dtls/v4/pkg/crypto/ciphersuite"
	"github.com/pion/dtls/v4/pkg/protocol"
	"github.com/plgd-dev/go-coap/v3/dtls/server"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	coapnet "github.com/plgd-dev/go-coap/v3/net"
	"github.com/plgd-dev/go-coap/v3/net/blockwise"
	"github.com/plgd-dev/go-coap/v3/net/monitor/inactivity"
	"github.com/plgd-dev/go-coap/v3/udp/client"
)

// connector makes DTLS sessions with one server.
type connector struct {
	server    *net.UDPAddr
	name      string
	block     blockwise.SZX
	options   []dtls.ClientOption
	sessions  sessions
	transport net.PacketConn
}

// sessions is a store with one session.
type sessions struct {
	last dtls.Session
}

func (s *sessions) Set(_ []byte, session dtls.Session) error {
	s.last = session
	return nil
}

func (s *sessions) Get([]byte) (dtls.Session, error) { return s.last, nil }

func (s *sessions) Del([]byte) error {
	s.last = dtls.Session{}
	return nil
}

func newConnector() *connector {
	address := flag.String("server", "", "coaps://NAME:PORT")
	anchors := flag.String("trust-anchors", "", "PEM file")
	certificate := flag.String("certificate", "", "PEM file: the device's, and intermediates")
	key := flag.String("key", "", "PEM file: PKCS#8")
	suites := flag.String("suites", "", "names, separated by commas")
	connectionID := flag.Int("connection-id", -1, "the length of the own connection ID; -1: no connection IDs")
	noEMS := flag.Bool("no-extended-master-secret", false, "don't offer it")
	routability := flag.Bool("return-routability", false, "offer return routability checks (RFC 9853)")
	dtls13 := flag.Bool("dtls-1.3", false, "offer DTLS 1.3, too")
	mtu := flag.Int("mtu", 1200, "the largest datagram of a handshake")
	block := flag.Int("block-size", 1024, "the size of a block")
	flag.Parse()

	c := &connector{}
	parsed, err := url.Parse(*address)
	check(err)
	c.name = parsed.Hostname()
	c.server, err = net.ResolveUDPAddr("udp4", parsed.Host)
	check(err)
	for szx := blockwise.SZX16; szx <= blockwise.SZX1024; szx++ {
		if szx.Size() == int64(*block) {
			c.block = szx
		}
	}
	identity, err := tls.LoadX509KeyPair(*certificate, *key)
	check(err)
	authority, err := os.ReadFile(*anchors)
	check(err)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		check(fmt.Errorf("no certificate in %s", *anchors))
	}
	version := protocol.Version1_2
	if *dtls13 {
		version = protocol.Version1_3
	}
	c.options = []dtls.ClientOption{
		dtls.WithMaxVersion(version),
		dtls.WithCertificates(identity),
		dtls.WithRootCAs(roots),
		dtls.WithServerName(c.name),
		dtls.WithSessionStore(&c.sessions),
		dtls.WithFlightInterval(500 * time.Millisecond),
		dtls.WithMTU(*mtu),
	}
	if *suites != "" {
		c.options = append(c.options, dtls.WithCipherSuites(suitesByName(*suites)...))
	}
	if *noEMS {
		c.options = append(c.options, dtls.WithExtendedMasterSecret(dtls.DisableExtendedMasterSecret))
	}
	if *connectionID >= 0 {
		generate := func() []byte {
			id := make([]byte, *connectionID)
			_, _ = rand.Read(id)
			return id
		}
		policy := dtls.CIDPathMigrationReject
		if *routability {
			policy = dtls.CIDPathMigrationRRC
		}
		c.options = append(c.options, dtls.WithConnectionID(generate, policy))
	}
	return c
}

func suitesByName(names string) []ciphersuite.ID {
	var ids []ciphersuite.ID
	for name := range strings.SplitSeq(names, ",") {
		for id := range ciphersuite.ID(0xffff) {
			if id.String() == name {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// connect performs a handshake, prints what it agreed on, and returns a CoAP connection over it.
func (c *connector) connect() (*client.Conn, error) {
	transport, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	c.transport = transport
	session, err := dtls.Client(transport, c.server, c.options...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	offered := c.sessions.last.ID
	if err := session.HandshakeContext(ctx); err != nil {
		c.abandon()
		return nil, err
	}
	if err := c.report(session, offered); err != nil {
		return nil, err
	}
	return c.overCoAP(session), nil
}

func (c *connector) abandon() {
	if c.transport != nil {
		_ = c.transport.Close()
	}
}

func (c *connector) report(session *dtls.Conn, offered []byte) error {
	state, ok := session.ConnectionState()
	if !ok {
		return fmt.Errorf("no state after the handshake")
	}
	exported, err := state.MarshalBinary()
	if err != nil {
		return err
	}
	// What pion agreed on is private, but part of what it exports.
	var agreed struct {
		LocalConnectionID, RemoteConnectionID []byte
		RRCNegotiated                         bool
	}
	if err := gob.NewDecoder(bytes.NewReader(exported)).Decode(&agreed); err != nil {
		return err
	}
	// A session id is the same only if the session was resumed (RFC 5246 §7.3).
	resumed := len(offered) > 0 && bytes.Equal(offered, state.SessionID)
	print(fmt.Sprintf("handshake resumed=%t suite=%v extended_master_secret=%t connection_ids=%d/%d return_routability=%t",
		resumed, state.CipherSuiteID, c.sessions.last.ExtendedMasterSecret,
		len(agreed.RemoteConnectionID), len(agreed.LocalConnectionID), agreed.RRCNegotiated))
	return nil
}

// overCoAP makes a CoAP connection of any DTLS session: go-coap's own function for that takes only those of an older pion.
func (c *connector) overCoAP(session net.Conn) *client.Conn {
	config := client.DefaultConfig
	config.BlockwiseEnable = true
	config.BlockwiseSZX = c.block
	config.BlockwiseTransferTimeout = timeout
	config.Errors = func(err error) { fmt.Fprintln(os.Stderr, err) }
	config.MessagePool = pool.New(0, 0)
	ends := server.NewSession(config.Ctx, coapnet.NewConn(session), config.MaxMessageSize, config.MTU, false)
	connection := client.NewConnWithOpts(ends, &config,
		client.WithBlockWise(func(of *client.Conn) *blockwise.BlockWise[*client.Conn] {
			return blockwise.New(of, config.BlockwiseTransferTimeout, config.Errors, of.GetObservationRequest)
		}),
		client.WithInactivityMonitor(inactivity.NewNilMonitor[*client.Conn]()),
		client.WithRequestMonitor(config.RequestMonitor),
	)
	config.PeriodicRunner(func(now time.Time) bool {
		connection.CheckExpirations(now)
		return connection.Context().Err() == nil
	})
	go func() { _ = connection.Run() }()
	return connection
}
