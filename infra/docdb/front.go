package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"slices"
	"time"

	"github.com/FerretDB/wire"
	"github.com/xdg-go/scram"
	"go.mongodb.org/mongo-driver/bson"
)

// A client's connection, and FerretDB's that belongs to it. Requests come one after the other.
type connection struct {
	users    *users
	client   net.Conn
	ferret   net.Conn                  // nil before the first request that is let through
	username string                    // "" before the login
	login    *scram.ServerConversation // nil when none is under way
	short    bool                      // whether the client does without the login's empty last exchange
}

// A request, as far as it must be understood here.
type request struct {
	bytes    []byte // the whole message
	code     wire.OpCode
	silent   bool // the client awaits no reply
	body     bson.Raw
	sections map[string][]bson.Raw // lists that aren't in the body
	command  string
	db       string
}

// A step of the login: saslStart, saslContinue, or hello's speculativeAuthenticate.
type step struct {
	Mechanism string
	Payload   []byte
	DB        string
	Options   struct {
		SkipEmptyExchange bool `bson:"skipEmptyExchange"`
	}
}

// What any user may ask, of any database.
var harmless = []string{"buildInfo", "buildinfo", "connectionStatus", "endSessions", "ping"}

// What the role readWrite allows: MongoDB's list, as far as FerretDB has the commands.
var readWrite = []string{
	"aggregate", "collStats", "count", "create", "createIndexes", "dataSize", "dbStats", "dbstats", "delete",
	"distinct", "drop", "dropIndexes", "find", "findAndModify", "findandmodify", "getMore", "insert",
	"killCursors", "listCollections", "listIndexes", "update",
}

// serve answers a client's requests until one of the two ends goes.
func serve(client net.Conn, users *users) {
	c := &connection{users: users, client: client}
	defer func() {
		// The decoders panic at some malformed messages. That may end only the connection.
		if cause := recover(); cause != nil {
			log.Printf("closing a connection: %v", cause)
		}
		client.Close()
		if c.ferret != nil {
			c.ferret.Close()
		}
	}()
	for {
		bytes, err := readMessage(client)
		if err != nil {
			return
		}
		r, err := parse(bytes)
		if err != nil {
			log.Printf("closing a connection: %v", err)
			return
		}
		if c.handle(r) != nil {
			return
		}
	}
}

// readMessage reads one message of MongoDB's protocol, whole.
func readMessage(from io.Reader) ([]byte, error) {
	length := make([]byte, 4)
	if _, err := io.ReadFull(from, length); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(length)
	if n < wire.MsgHeaderLen || n > wire.MaxMsgLen {
		return nil, fmt.Errorf("a message of %d bytes", n)
	}
	bytes := make([]byte, n)
	copy(bytes, length)
	_, err := io.ReadFull(from, bytes[len(length):])
	return bytes, err
}

func parse(bytes []byte) (*request, error) {
	r := &request{
		bytes: bytes, code: wire.OpCode(binary.LittleEndian.Uint32(bytes[12:])), sections: map[string][]bson.Raw{},
	}
	var names []string
	switch r.code {
	case wire.OpCodeQuery: // of old, and still some drivers' first hello
		var query wire.OpQuery
		if err := query.UnmarshalBinaryNocopy(bytes[wire.MsgHeaderLen:]); err != nil {
			return nil, err
		}
		body, _ := query.Query().Encode()
		r.body = bson.Raw(body)
	case wire.OpCodeMsg:
		var message wire.OpMsg
		if err := message.UnmarshalBinaryNocopy(bytes[wire.MsgHeaderLen:]); err != nil {
			return nil, err
		}
		r.body = bson.Raw(message.RawSection0())
		r.silent = message.Flags.FlagSet(wire.OpMsgMoreToCome)
		for _, section := range message.Sections() {
			if section.Kind == 1 {
				names = append(names, section.Identifier)
				for _, document := range section.Documents() {
					r.sections[section.Identifier] = append(r.sections[section.Identifier], bson.Raw(document))
				}
			}
		}
	default:
		return nil, fmt.Errorf("a message with the operation %d", r.code)
	}
	fields, err := r.body.Elements()
	if err != nil || len(fields) == 0 {
		return nil, errors.New("a message without a command")
	}
	// FerretDB makes fields of the sections. No field may be there twice, and mean one thing where
	// rights are checked and another where the request is done.
	for _, field := range fields {
		if slices.Contains(names, field.Key()) {
			return nil, errors.New("a message with a field twice")
		}
		names = append(names, field.Key())
	}
	r.command = fields[0].Key()
	r.db, _ = r.body.Lookup("$db").StringValueOK()
	return r, nil
}

// handle answers a request. An error ends the connection.
func (c *connection) handle(r *request) error {
	answer := bson.M{}
	var err error
	switch r.command {
	case "hello", "isMaster", "ismaster":
		answer, err = c.hello(r)
	case "saslStart", "saslContinue":
		s := step{}
		if err = bson.Unmarshal(r.body, &s); err == nil {
			s.DB = r.db
			answer, err = c.sasl(r.command, s)
		}
	default:
		if err = c.authorize(r); err != nil {
			break
		}
		switch r.command {
		case "createUser", "updateUser":
			err = c.users.set(r.body)
		case "usersInfo":
			answer = c.users.info(r.body)
		case "configureFailPoint":
			err = failCommand.set(r.body)
		case "endSessions": // FerretDB doesn't know it, and drivers send it when they leave
		default:
			if err = failCommand.error(r); err == nil {
				return c.forward(r)
			}
		}
	}
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		answer = bson.M{"ok": 0.0, "errmsg": refused.text, "code": refused.code, "codeName": refused.name}
	case err != nil:
		answer = bson.M{"ok": 0.0, "errmsg": err.Error(), "code": 1, "codeName": "InternalError"}
	default:
		answer["ok"] = 1.0
	}
	return c.reply(r, answer)
}

// authorize refuses what the roles of the connection's user don't allow. They are looked up each
// time: a change of roles holds at once; a change of the password doesn't end a connection.
func (c *connection) authorize(r *request) error {
	if c.username == "" || r.code != wire.OpCodeMsg {
		return &refusal{13, "Unauthorized", "command " + r.command + " requires authentication"}
	}
	user, _ := c.users.find(c.username)
	allowed := user.has("root", "admin")
	switch r.command {
	case "createUser", "updateUser", "usersInfo", "configureFailPoint":
		// Users are kept in `admin`, as DocumentDB does.
		allowed = allowed && r.db == "admin"
	default:
		allowed = allowed || slices.Contains(harmless, r.command) ||
			slices.Contains(readWrite, r.command) && user.has("readWrite", r.db)
	}
	if !allowed {
		return &refusal{13, "Unauthorized", "not authorized on " + r.db + " to execute command " + r.command}
	}
	return nil
}

// hello tells what this server is, with the limits of FerretDB, and begins the login if the
// client brought its first step along.
func (c *connection) hello(r *request) (bson.M, error) {
	var asked struct {
		SaslSupportedMechs      *string `bson:"saslSupportedMechs"`
		SpeculativeAuthenticate *step   `bson:"speculativeAuthenticate"`
	}
	if err := bson.Unmarshal(r.body, &asked); err != nil {
		return nil, badValue("hello can't be read")
	}
	primary := "isWritablePrimary"
	if r.command != "hello" {
		primary = "ismaster"
	}
	answer := bson.M{
		primary: true, "helloOk": true, "readOnly": false, "connectionId": 1, "localTime": time.Now(),
		"maxBsonObjectSize": 16 << 20, "maxMessageSizeBytes": wire.MaxMsgLen, "maxWriteBatchSize": 100_000,
		"logicalSessionTimeoutMinutes": 30, "minWireVersion": 0, "maxWireVersion": 21,
	}
	if asked.SaslSupportedMechs != nil {
		// The same for a user that there isn't: who asks isn't logged in.
		answer["saslSupportedMechs"] = bson.A{mechanism}
	}
	if asked.SpeculativeAuthenticate != nil {
		// If it fails, the client begins anew, and is told then.
		if start, err := c.sasl("saslStart", *asked.SpeculativeAuthenticate); err == nil {
			answer["speculativeAuthenticate"] = start
		}
	}
	return answer, nil
}

// sasl takes a step of the login: the first, the second, or an empty one that some clients end with.
func (c *connection) sasl(command string, s step) (bson.M, error) {
	answer, done := "", true
	if command == "saslStart" {
		if s.Mechanism != mechanism {
			return nil, &refusal{334, "MechanismUnavailable", "the one mechanism is " + mechanism}
		}
		if s.DB != "admin" {
			return nil, errAuthentication
		}
		c.login, c.short = c.users.scram.NewConversation(), s.Options.SkipEmptyExchange
	}
	if c.login == nil {
		return nil, errAuthentication
	}
	if !c.login.Valid() {
		var err error
		if answer, err = c.login.Step(string(s.Payload)); err != nil {
			c.login = nil
			return nil, errAuthentication
		}
		done = c.login.Valid() && c.short
	}
	if c.login.Valid() {
		c.username = c.login.Username()
	}
	if done {
		c.login = nil
	}
	return bson.M{"conversationId": 1, "done": done, "payload": []byte(answer)}, nil
}

// forward has FerretDB answer. Both messages go through unchanged.
func (c *connection) forward(r *request) error {
	var err error
	if c.ferret == nil {
		if c.ferret, err = net.Dial("unix", socket); err != nil {
			log.Print(err)
			return err
		}
	}
	answer, err := c.ask(r)
	// FerretDB replies also to who awaits none.
	if err != nil || r.silent {
		return err
	}
	_, err = c.client.Write(answer)
	return err
}

// ask waits for FerretDB's answer, and before for its turn.
func (c *connection) ask(r *request) ([]byte, error) {
	defer r.lock()()
	slots <- struct{}{}
	defer func() { <-slots }()
	if _, err := c.ferret.Write(r.bytes); err != nil {
		return nil, err
	}
	return readMessage(c.ferret)
}

// reply answers in the form of the request.
func (c *connection) reply(r *request, answer bson.M) error {
	document, err := bson.Marshal(answer)
	if err != nil || r.silent {
		return err
	}
	code, head := wire.OpCodeMsg, make([]byte, 16+5) // no flags, and a section of the kind 0
	if r.code == wire.OpCodeQuery {
		code, head = wire.OpCodeReply, make([]byte, 16+20) // no flags, cursor or place,
		head[16+16] = 1                                    // and one document
	}
	binary.LittleEndian.PutUint32(head, uint32(len(head)+len(document)))
	copy(head[8:12], r.bytes[4:8]) // the request's number
	binary.LittleEndian.PutUint32(head[12:], uint32(code))
	_, err = c.client.Write(append(head, document...))
	return err
}
