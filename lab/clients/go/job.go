package main

import (
	"bufio"
	"crypto/tls"
	"os"
	"strconv"
	"strings"
)

// A job is one line of the file: a request, and how often it is made.
type job map[string]string

// readJobs reads name=value pairs with tabs between them, a job on each line.
func readJobs(path string) ([]job, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var jobs []job
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		one := job{}
		for _, pair := range strings.Split(lines.Text(), "\t") {
			name, value, _ := strings.Cut(pair, "=")
			one[name] = value
		}
		jobs = append(jobs, one)
	}
	return jobs, lines.Err()
}

func (j job) number(name string) int {
	number, err := strconv.Atoi(j[name])
	if err != nil {
		panic(name + " is no number: " + j[name])
	}
	return number
}

// tls is of the version that is asked for. Which certificate is shown is not what is judged.
func (j job) tls() *tls.Config {
	config := &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	switch j["tls"] {
	case "1.2":
		config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	case "1.3":
		config.MinVersion, config.MaxVersion = tls.VersionTLS13, tls.VersionTLS13
	}
	return config
}

// pattern is the bytes 0 to 250 again and again: a byte that is missing shows.
func pattern(size int) []byte {
	whole := make([]byte, size)
	for at := range whole {
		whole[at] = byte(at % 251)
	}
	return whole
}
