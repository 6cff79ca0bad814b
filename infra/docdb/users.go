package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/xdg-go/scram"
	"go.mongodb.org/mongo-driver/bson"
)

// The one mechanism of login, and the rounds of its hash: MongoDB's.
const (
	mechanism  = "SCRAM-SHA-256"
	iterations = 15_000
)

// The user that may do all, and makes the others.
const owner = "admitowner"

// An answer of MongoDB's to a request that is wrong or not allowed.
type refusal struct {
	code       int32
	name, text string
}

func (r *refusal) Error() string { return r.text }

func badValue(text string) error { return &refusal{2, "BadValue", text} }

// The same for a wrong password as for a user that there isn't.
var errAuthentication = &refusal{18, "AuthenticationFailed", "Authentication failed."}

type role struct{ Role, DB string }

// A user: no password, but what SCRAM needs to check one.
type user struct {
	Credentials scram.StoredCredentials
	Roles       []role
}

func (u user) has(name, db string) bool { return slices.Contains(u.Roles, role{name, db}) }

// All users: in memory, and in a file that holds each change before it is answered.
type users struct {
	path  string
	scram *scram.Server
	mutex sync.RWMutex
	all   map[string]user // never changed, but replaced
}

// openUsers reads the users' file. The owner is made if it isn't there; else its password is kept:
// it may have been changed since.
func openUsers(path, ownerPassword string) (*users, error) {
	u := &users{path: path}
	var err error
	u.scram, err = scram.SHA256.NewServer(func(name string) (scram.StoredCredentials, error) {
		user, found := u.find(name)
		if !found {
			return scram.StoredCredentials{}, errAuthentication
		}
		return user.Credentials, nil
	})
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(content, &u.all)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if _, found := u.find(owner); found {
		return u, nil
	}
	if ownerPassword == "" {
		return nil, errors.New("DOCDB_OWNER_PASSWORD is needed: the owner's password")
	}
	return u, u.change(owner, func(user *user, _ bool) error {
		user.Roles = []role{{"root", "admin"}}
		user.Credentials, err = credentialsOf(owner, ownerPassword)
		return err
	})
}

func (u *users) find(name string) (user, bool) {
	u.mutex.RLock()
	defer u.mutex.RUnlock()
	user, found := u.all[name]
	return user, found
}

// change changes a user, or makes it: in the file first, which is replaced wholly or not at all.
func (u *users) change(name string, how func(user *user, found bool) error) error {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	changed, found := u.all[name]
	if err := how(&changed, found); err != nil {
		return err
	}
	all := map[string]user{name: changed}
	for other, user := range u.all {
		if other != name {
			all[other] = user
		}
	}
	content, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	// It is made so that only its owner reads it.
	file, err := os.CreateTemp(filepath.Dir(u.path), "users.*.new")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // of no effect once it is renamed
	_, err = file.Write(content)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), u.path); err != nil {
		return err
	}
	u.all = all
	return nil
}

// set does createUser, {createUser: name, pwd, roles: [{role: "readWrite", db}]}, and updateUser
// with pwd or roles or both.
func (u *users) set(body bson.Raw) error {
	var wanted struct {
		CreateUser *string `bson:"createUser"`
		UpdateUser *string `bson:"updateUser"`
		Pwd        *string
		Roles      []role
	}
	if err := bson.Unmarshal(body, &wanted); err != nil {
		return badValue(`needed are a name, pwd and roles of the form [{role: "readWrite", db: ...}]`)
	}
	for _, role := range wanted.Roles {
		if role.Role != "readWrite" || role.DB == "" {
			return badValue("the one role is readWrite, of a database")
		}
	}
	create, name := wanted.CreateUser != nil, wanted.UpdateUser
	if create {
		name = wanted.CreateUser
	}
	if name == nil || *name == "" || create && (wanted.Pwd == nil || wanted.Roles == nil) {
		return badValue("needed are a name, pwd and roles")
	}
	var credentials scram.StoredCredentials
	if wanted.Pwd != nil {
		var err error
		if credentials, err = credentialsOf(*name, *wanted.Pwd); err != nil {
			return err
		}
	}
	return u.change(*name, func(user *user, found bool) error {
		if create && found {
			return &refusal{51003, "Location51003", fmt.Sprintf("User %q already exists", *name+"@admin")}
		}
		if !create && !found {
			return &refusal{11, "UserNotFound", fmt.Sprintf("User %q not found", *name+"@admin")}
		}
		if wanted.Pwd != nil {
			user.Credentials = credentials
		}
		if wanted.Roles != nil {
			user.Roles = wanted.Roles
		}
		return nil
	})
}

// info does usersInfo: of a name, of {user, db: "admin"}, or of 1 for all.
func (u *users) info(body bson.Raw) bson.M {
	u.mutex.RLock()
	all := u.all
	u.mutex.RUnlock()
	asked := body.Lookup("usersInfo")
	wanted, _ := asked.StringValueOK()
	_, every := asked.AsInt64OK()
	if pair, ok := asked.DocumentOK(); ok {
		if db, _ := pair.Lookup("db").StringValueOK(); db == "admin" {
			wanted, _ = pair.Lookup("user").StringValueOK()
		}
	}
	found := bson.A{}
	for name, user := range all {
		if every || name == wanted {
			found = append(found, bson.M{
				"_id": "admin." + name, "user": name, "db": "admin",
				"roles": user.Roles, "mechanisms": bson.A{mechanism},
			})
		}
	}
	return bson.M{"users": found}
}

// credentialsOf is what is kept of a password.
func credentialsOf(name, password string) (scram.StoredCredentials, error) {
	var none scram.StoredCredentials
	if password == "" {
		return none, badValue("a password may not be empty")
	}
	client, err := scram.SHA256.NewClient(name, password, "")
	if err != nil {
		// Not the cause: it has the password in it.
		return none, badValue("a name or password has characters that aren't allowed")
	}
	salt := make([]byte, 14)
	if _, err := rand.Read(salt); err != nil {
		return none, err
	}
	// Any bytes may be salt; as text they survive JSON.
	factors := scram.KeyFactors{Salt: hex.EncodeToString(salt), Iters: iterations}
	return client.GetStoredCredentials(factors), nil
}
