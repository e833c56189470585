// Benthos (its MIT core) with a Kafka input and output on franz-go, since its own Kafka components are not in the core.
// It says `ready` when it was given partitions and `done` when all messages are acknowledged and their offsets committed.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/redpanda-data/benthos/v4/public/components/io"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"
)

const keyName = "kafka_key"

// expected is how many messages end the copy; written is counted by the output, copied once the input has their acknowledgement.
var expected int64
var copied atomic.Int64

type source struct {
	brokers, topic string
	client         *kgo.Client
	ready          sync.Once
}

func (s *source) Connect(context.Context) error {
	if s.client != nil {
		return nil
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(s.brokers),
		kgo.ConsumeTopics(s.topic),
		kgo.ConsumerGroup(fmt.Sprintf("benthos-%d", time.Now().UnixNano())),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(time.Second),
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) {
			s.ready.Do(func() { fmt.Println("ready") })
		}),
	)
	s.client = client
	return err
}

func (s *source) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	fetches := s.client.PollRecords(ctx, 5000)
	if fetches.IsClientClosed() {
		return nil, nil, service.ErrEndOfInput
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if failed := fetches.Errors(); len(failed) > 0 {
		return nil, nil, failed[0].Err
	}
	records := fetches.Records()
	batch := make(service.MessageBatch, len(records))
	for i, record := range records {
		message := service.NewMessage(record.Value)
		message.MetaSetMut(keyName, record.Key)
		batch[i] = message
	}
	acknowledge := func(ctx context.Context, failure error) error {
		if failure != nil {
			return nil
		}
		s.client.MarkCommitRecords(records...)
		if copied.Add(int64(len(records))) == expected {
			if err := s.client.CommitMarkedOffsets(ctx); err != nil {
				return err
			}
			fmt.Println("done")
		}
		return nil
	}
	return batch, acknowledge, nil
}

func (s *source) Close(context.Context) error {
	if s.client != nil {
		s.client.Close()
	}
	return nil
}

type target struct {
	brokers, topic string
	client         *kgo.Client
}

func (t *target) Connect(context.Context) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(t.brokers),
		kgo.DefaultProduceTopic(t.topic),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0),
	)
	t.client = client
	return err
}

func (t *target) WriteBatch(ctx context.Context, batch service.MessageBatch) error {
	records := make([]*kgo.Record, len(batch))
	for i, message := range batch {
		value, err := message.AsBytes()
		if err != nil {
			return err
		}
		key, _ := message.MetaGetMut(keyName)
		bytes, _ := key.([]byte)
		records[i] = &kgo.Record{Key: bytes, Value: value}
	}
	return t.client.ProduceSync(ctx, records...).FirstErr()
}

func (t *target) Close(context.Context) error {
	if t.client != nil {
		t.client.Close()
	}
	return nil
}

func main() {
	count, err := strconv.ParseInt(os.Getenv("MESSAGES"), 10, 64)
	if err != nil {
		fmt.Fprintln(os.Stderr, "MESSAGES must be a number")
		os.Exit(2)
	}
	expected = count
	spec := service.NewConfigSpec().Field(service.NewStringField("brokers")).Field(service.NewStringField("topic"))
	address := func(config *service.ParsedConfig) (string, string, error) {
		brokers, err := config.FieldString("brokers")
		if err != nil {
			return "", "", err
		}
		topic, err := config.FieldString("topic")
		return brokers, topic, err
	}
	err = service.RegisterBatchInput("kafka_bench", spec, func(config *service.ParsedConfig, _ *service.Resources) (service.BatchInput, error) {
		brokers, topic, err := address(config)
		return service.AutoRetryNacksBatched(&source{brokers: brokers, topic: topic}), err
	})
	if err == nil {
		err = service.RegisterBatchOutput("kafka_bench", spec, func(config *service.ParsedConfig, _ *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
			brokers, topic, err := address(config)
			return &target{brokers: brokers, topic: topic}, service.BatchPolicy{}, 4, err
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	service.RunCLI(context.Background())
}
