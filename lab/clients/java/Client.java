import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.io.ByteArrayInputStream;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509ExtendedTrustManager;

/** Runs jobs with java.net.http.HttpClient and prints one line of JSON for each try: java Client.java JOBS. */
public class Client {
    static final Duration TIMEOUT = Duration.ofSeconds(20);

    public static void main(String[] arguments) throws Exception {
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            Map<String, String> job = new HashMap<>();
            for (String pair : line.split("\t")) {
                String[] words = pair.split("=", 2);
                job.put(words[0], words[1]);
            }
            byte[] content = pattern(Integer.parseInt(job.get("size")));
            for (int time = 0; time < Integer.parseInt(job.get("tries")); time++) {
                System.out.println("{\"job\":" + job.get("job") + "," + attempt(job, content) + "}");
                System.out.flush();
            }
        }
        System.exit(0);
    }

    /** Members of the line's object. */
    static String attempt(Map<String, String> job, byte[] content) {
        try {
            HttpClient client = client(job.get("tls"), job.get("http"));
            String version = "";
            List<Integer> statuses = new ArrayList<>();
            byte[] seen = {};
            for (int time = 0; time < Integer.parseInt(job.get("times")); time++) {
                var response = client.send(request(job, content), BodyHandlers.ofByteArray());
                statuses.add(response.statusCode());
                seen = response.body();
                version = response.version() == HttpClient.Version.HTTP_2 ? "2" : "1.1";
            }
            String hash = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(seen));
            return "\"version\":\"" + version + "\",\"statuses\":" + statuses + ",\"length\":" + seen.length + ",\"sha256\":\"" + hash + "\"";
        } catch (Exception error) {
            Throwable cause = error;
            while (cause.getCause() != null) cause = cause.getCause();
            String message = String.valueOf(cause.getMessage()).replaceAll("[^ -!#-\\[\\]-~]", " ");
            return "\"error\":\"" + cause.getClass().getSimpleName() + ": " + message + "\"";
        }
    }

    static HttpRequest request(Map<String, String> job, byte[] content) {
        var body = switch (job.get("body")) {
            case "plain" -> HttpRequest.BodyPublishers.ofByteArray(content);
            case "chunked" -> HttpRequest.BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(content));
            default -> HttpRequest.BodyPublishers.noBody();
        };
        return HttpRequest.newBuilder(URI.create(job.get("url")))
                .method(job.get("method"), body)
                .expectContinue(job.get("expect").equals("true"))
                .timeout(TIMEOUT)
                .build();
    }

    /** A client with connections of its own. It offers h2c over clear text, as it does by itself. */
    static HttpClient client(String tls, String http) throws Exception {
        var builder = HttpClient.newBuilder();
        if (!tls.isEmpty()) {
            builder.version(http.equals("2") ? HttpClient.Version.HTTP_2 : HttpClient.Version.HTTP_1_1);
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(null, new TrustManager[] {new TrustAll()}, null);
            SSLParameters parameters = new SSLParameters();
            parameters.setProtocols(new String[] {"TLSv" + tls});
            builder.sslContext(context).sslParameters(parameters);
        }
        return builder.build();
    }

    /** The bytes 0 to 250 again and again: a byte that is missing shows. */
    static byte[] pattern(int size) {
        byte[] whole = new byte[size];
        for (int at = 0; at < size; at++) whole[at] = (byte) (at % 251);
        return whole;
    }

    /** Which certificate is shown is not what is judged. */
    static class TrustAll extends X509ExtendedTrustManager {
        public void checkClientTrusted(X509Certificate[] chain, String type) {}

        public void checkServerTrusted(X509Certificate[] chain, String type) {}

        public void checkClientTrusted(X509Certificate[] chain, String type, java.net.Socket socket) {}

        public void checkServerTrusted(X509Certificate[] chain, String type, java.net.Socket socket) {}

        public void checkClientTrusted(X509Certificate[] chain, String type, SSLEngine engine) {}

        public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine) {}

        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[0];
        }
    }
}
