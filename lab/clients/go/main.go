// Command clients runs jobs with net/http and prints one line of JSON for each try.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"syscall"
	"time"
)

const timeout = 20 * time.Second

// saw is what one try saw; without an error its name is empty.
type saw struct {
	Job         int    `json:"job"`
	Statuses    []int  `json:"statuses"`
	Length      int    `json:"length"`
	SHA256      string `json:"sha256"`
	Connections int    `json:"connections"`
	Resumed     bool   `json:"resumed"`
	Version     string `json:"version"`
	Trailer     string `json:"trailer"`
	Error       string `json:"error,omitempty"`
}

func main() {
	jobs, err := readJobs(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	lines := json.NewEncoder(os.Stdout)
	for _, job := range jobs {
		for range make([]struct{}, job.number("tries")) {
			seen := saw{Job: job.number("job")}
			if err := seen.try(job); err != nil {
				seen.Error = name(err)
			}
			if err := lines.Encode(seen); err != nil {
				os.Exit(1)
			}
		}
	}
}

func (s *saw) try(job job) error {
	resume := job["does"] == "resume"
	transport := &http.Transport{
		TLSClientConfig:       job.tls(),
		DisableKeepAlives:     resume,
		ExpectContinueTimeout: timeout,
	}
	defer transport.CloseIdleConnections()
	if job["http"] == "2" {
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetHTTP2(true)
		transport.Protocols.SetUnencryptedHTTP2(true)
	}
	client := &http.Client{Transport: transport, Timeout: timeout, CheckRedirect: stay}
	times := job.number("times")
	if job["does"] == "at-once" {
		return s.atOnce(client, job, times)
	}
	for range times {
		if err := s.request(client, job); err != nil {
			return err
		}
	}
	return nil
}

// atOnce makes all requests at a time. Their contents must be one.
func (s *saw) atOnce(client *http.Client, job job, times int) error {
	type result struct {
		saw
		err error
	}
	results := make(chan result, times)
	for range times {
		go func() {
			var one saw
			err := one.request(client, job)
			results <- result{one, err}
		}()
	}
	for range times {
		one := <-results
		if one.err != nil {
			return one.err
		}
		if s.SHA256 != "" && s.SHA256 != one.SHA256 {
			return errors.New("contents differ")
		}
		one.Job, one.Statuses = s.Job, append(s.Statuses, one.Statuses...)
		one.Connections += s.Connections
		*s = one.saw
	}
	return nil
}

// stay has the client show a redirect instead of following it.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (s *saw) request(client *http.Client, job job) error {
	request, err := http.NewRequest(job["method"], job["url"], body(job))
	if err != nil {
		return err
	}
	if job["expect"] == "true" {
		request.Header.Set("Expect", "100-continue")
	}
	trace := httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if !info.Reused {
			s.Connections++
		}
	}}
	response, err := client.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), &trace)))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	s.Statuses = append(s.Statuses, response.StatusCode)
	s.Version, s.Trailer = version(response), response.Trailer.Get("x-trailer")
	s.Length, s.SHA256 = len(content), hex.EncodeToString(sum[:])
	s.Resumed = response.TLS != nil && response.TLS.DidResume
	return nil
}

// version is that of HTTP, as the other clients write it.
func version(response *http.Response) string {
	if response.ProtoMajor == 2 {
		return "2"
	}
	return fmt.Sprintf("%d.%d", response.ProtoMajor, response.ProtoMinor)
}

// body has a length unless the job wants chunks.
func body(job job) io.Reader {
	switch job["body"] {
	case "plain":
		return bytes.NewReader(pattern(job.number("size")))
	case "chunked":
		return io.MultiReader(bytes.NewReader(pattern(job.number("size"))))
	default:
		return nil
	}
}

// name is the system's error, if that is behind it.
func name(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	for errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	return err.Error()
}
