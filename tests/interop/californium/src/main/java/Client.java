import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.eclipse.californium.core.CoapClient;
import org.eclipse.californium.core.CoapHandler;
import org.eclipse.californium.core.CoapResponse;
import org.eclipse.californium.core.coap.MediaTypeRegistry;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.config.CoapConfig;
import org.eclipse.californium.core.network.CoapEndpoint;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.californium.elements.exception.ConnectorException;
import org.eclipse.californium.scandium.config.DtlsConfig;

/**
 * A CoAP client that makes requests as its standard input says, and prints a line for each handshake, response and
 * notification. The client with pion has the same options, commands and lines.
 */
public final class Client {
    private final String server;
    private final CoapClient client = new CoapClient();

    private Client(String server, CoapEndpoint endpoint) {
        this.server = server;
        client.setEndpoint(endpoint);
        client.setTimeout(20_000L);
    }

    public static void main(String[] arguments) throws Exception {
        Options options = new Options(arguments);
        CoapConfig.register();
        DtlsConfig.register();
        Configuration configuration = Configuration.createStandardWithoutFile();
        Integer block = options.takeNumber("block-size");
        if (block != null) {
            configuration.set(CoapConfig.PREFERRED_BLOCK_SIZE, block);
            configuration.set(CoapConfig.MAX_MESSAGE_SIZE, block);
        }
        configuration.set(CoapConfig.MAX_RESOURCE_BODY_SIZE, 65_536);
        String server = options.require("server");
        Connector connector = Connector.from(options, configuration);
        options.refuseUnknown();
        CoapEndpoint endpoint = CoapEndpoint.builder().setConfiguration(configuration).setConnector(connector).build();
        endpoint.start();
        Client client = new Client(server, endpoint);
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            client.run(line.split(" ", 3), connector);
        }
        System.exit(0);
    }

    static synchronized void print(String line) {
        System.out.println(line);
        System.out.flush();
    }

    private void run(String[] command, Connector connector) throws IOException {
        switch (command[0]) {
            case "post" -> request(Request.newPost(), command[1], command[2].getBytes(StandardCharsets.UTF_8));
            case "post-file" -> request(Request.newPost(), command[1], Files.readAllBytes(Path.of(command[2])));
            case "get" -> request(Request.newGet(), command[1], null);
            case "observe" -> observe(command[1]);
            // The next request makes a new handshake, with the last one's session id.
            case "resume" -> connector.forceResumeAllSessions();
            default -> throw new IllegalArgumentException("unknown command: " + command[0]);
        }
    }

    private void request(Request request, String path, byte[] payload) {
        request.setURI(server + "/" + path);
        if (payload != null) {
            request.getOptions().setContentFormat(MediaTypeRegistry.APPLICATION_JSON);
            request.setPayload(payload);
        }
        try {
            CoapResponse response = client.advanced(request);
            if (response == null) {
                print("response failed: there is none");
            } else {
                print("response " + response.getCode() + " " + response.getResponseText());
            }
        } catch (ConnectorException | IOException error) {
            print("response failed: " + error.getMessage());
        }
    }

    private void observe(String path) {
        Request request = Request.newGet().setObserve();
        request.setURI(server + "/" + path);
        client.observe(request, new CoapHandler() {
            @Override
            public void onLoad(CoapResponse response) {
                print("notification " + response.getCode() + " " + response.getResponseText());
            }

            @Override
            public void onError() {
                print("notification failed");
            }
        });
    }
}
