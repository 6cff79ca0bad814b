package main

import (
	"slices"
	"sync"

	"go.mongodb.org/mongo-driver/bson"
)

// MongoDB's fail point failCommand, which it has for tests: commands on a collection that are answered
// with an error, so many times.
type failPoint struct {
	mutex sync.Mutex
	left  int32
	data  failPointData
}

type failPointData struct {
	FailCommands []string `bson:"failCommands"`
	ErrorCode    int32    `bson:"errorCode"`
	Namespace    string   // db.collection
}

// The one that there is.
var failCommand failPoint

// set does configureFailPoint, with mode {times: n} or "off".
func (f *failPoint) set(body bson.Raw) error {
	var wanted struct {
		ConfigureFailPoint string `bson:"configureFailPoint"`
		Mode               bson.RawValue
		Data               failPointData
	}
	if err := bson.Unmarshal(body, &wanted); err != nil || wanted.ConfigureFailPoint != "failCommand" {
		return badValue("only failCommand is supported")
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.left, f.data = 0, wanted.Data
	if mode, ok := wanted.Mode.DocumentOK(); ok {
		f.left, _ = mode.Lookup("times").Int32OK()
	}
	return nil
}

// error is what a request is answered with, if it is to fail.
func (f *failPoint) error(r *request) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.left == 0 || f.data.Namespace != r.db+"."+r.collection() || !slices.Contains(f.data.FailCommands, r.command) {
		return nil
	}
	f.left--
	return &refusal{f.data.ErrorCode, "FailPoint", "failing command via 'failCommand' failpoint"}
}
