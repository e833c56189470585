package tributary.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Consume, map six fields with Jackson, produce.
 *
 * <p>Arguments: brokers, source topic, target topic, messages, and {@code at-least-once} (idempotent producer, offsets
 * committed every second after a flush) or {@code exactly-once} (a transaction every 100 ms, the interval of Kafka
 * Streams). Says {@code ready} when it was given partitions and {@code done} when all is committed.
 */
public final class Copy {
  private static final ObjectMapper json = new ObjectMapper();

  public static void main(String[] args) throws Exception {
    String brokers = args[0];
    String source = args[1];
    String target = args[2];
    long expected = Long.parseLong(args[3]);
    boolean transactional = args[4].equals("exactly-once");
    long commitEvery = Duration.ofMillis(transactional ? 100 : 1000).toNanos();
    AtomicReference<Exception> failure = new AtomicReference<>();

    try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(consumerSettings(brokers), new ByteArrayDeserializer(), new ByteArrayDeserializer());
        KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(producerSettings(brokers, transactional), new ByteArraySerializer(), new ByteArraySerializer())) {
      if (transactional) producer.initTransactions();
      consumer.subscribe(List.of(source), new SaysReady());
      Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
      long copied = 0;
      long committedAt = System.nanoTime();
      boolean open = false;
      while (copied < expected) {
        ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(200));
        if (transactional && !open && !records.isEmpty()) {
          producer.beginTransaction();
          open = true;
        }
        for (ConsumerRecord<byte[], byte[]> record : records) {
          producer.send(new ProducerRecord<>(target, record.key(), map(record.value())), (metadata, error) -> {
            if (error != null) failure.set(error);
          });
          copied++;
        }
        for (TopicPartition partition : records.partitions()) {
          offsets.put(partition, new OffsetAndMetadata(consumer.position(partition)));
        }
        boolean due = copied >= expected || System.nanoTime() - committedAt >= commitEvery;
        if (due && !offsets.isEmpty()) {
          if (transactional) {
            producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
            producer.commitTransaction();
            open = false;
          } else {
            producer.flush();
            if (failure.get() != null) throw failure.get();
            consumer.commitSync(offsets);
          }
          offsets.clear();
          committedAt = System.nanoTime();
        }
      }
      if (failure.get() != null) throw failure.get();
      System.out.println("done");
    }
  }

  private static byte[] map(byte[] value) throws IOException {
    JsonNode from = json.readTree(value);
    JsonNode props = from.get("props");
    ObjectNode to = json.createObjectNode();
    to.set("id", from.get("id"));
    to.set("userId", from.get("user_id"));
    to.set("event", from.get("event_type"));
    to.set("at", from.get("ts"));
    to.set("country", props.get("country"));
    to.set("variant", props.get("ab").get("variant"));
    return json.writeValueAsBytes(to);
  }

  private static Properties consumerSettings(String brokers) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", brokers);
    settings.put("group.id", "java-" + UUID.randomUUID());
    settings.put("auto.offset.reset", "earliest");
    settings.put("enable.auto.commit", "false");
    settings.put("isolation.level", "read_committed");
    settings.put("max.poll.records", "5000");
    settings.put("fetch.max.wait.ms", "100");
    return settings;
  }

  private static Properties producerSettings(String brokers, boolean transactional) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", brokers);
    settings.put("acks", "all");
    settings.put("enable.idempotence", "true");
    settings.put("linger.ms", "10");
    settings.put("batch.size", "131072");
    if (transactional) settings.put("transactional.id", "java-" + UUID.randomUUID());
    return settings;
  }

  private static final class SaysReady implements ConsumerRebalanceListener {
    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
      System.out.println("ready");
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {}
  }
}
