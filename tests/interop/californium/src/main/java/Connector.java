import java.io.IOException;
import java.net.InetSocketAddress;
import java.security.GeneralSecurityException;
import java.security.cert.Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.californium.scandium.DTLSConnector;
import org.eclipse.californium.scandium.config.DtlsConfig;
import org.eclipse.californium.scandium.config.DtlsConfig.DtlsRole;
import org.eclipse.californium.scandium.config.DtlsConnectorConfig;
import org.eclipse.californium.scandium.dtls.CertificateType;
import org.eclipse.californium.scandium.dtls.ConnectionId;
import org.eclipse.californium.scandium.dtls.DTLSContext;
import org.eclipse.californium.scandium.dtls.DTLSSession;
import org.eclipse.californium.scandium.dtls.ExtendedMasterSecretMode;
import org.eclipse.californium.scandium.dtls.Handshaker;
import org.eclipse.californium.scandium.dtls.MaxFragmentLengthExtension.Length;
import org.eclipse.californium.scandium.dtls.SessionAdapter;
import org.eclipse.californium.scandium.dtls.SessionId;
import org.eclipse.californium.scandium.dtls.cipher.CipherSuite;
import org.eclipse.californium.scandium.dtls.x509.SingleCertificateProvider;
import org.eclipse.californium.scandium.dtls.x509.StaticNewAdvancedCertificateVerifier;

/** Scandium as a client, which prints a line for each handshake. */
final class Connector extends DTLSConnector {
    private SessionId last;

    private Connector(DtlsConnectorConfig config) {
        super(config);
    }

    static Connector from(Options options, Configuration configuration) throws IOException, GeneralSecurityException {
        DtlsConnectorConfig.Builder builder = DtlsConnectorConfig.builder(configuration);
        builder.setAddress(new InetSocketAddress("127.0.0.1", 0));
        builder.set(DtlsConfig.DTLS_ROLE, DtlsRole.CLIENT_ONLY);
        builder.set(DtlsConfig.DTLS_RETRANSMISSION_TIMEOUT, 500, TimeUnit.MILLISECONDS);
        builder.set(DtlsConfig.DTLS_RECEIVER_THREAD_COUNT, 1);
        builder.set(DtlsConfig.DTLS_CONNECTOR_THREAD_COUNT, 1);
        // All it has may be offered, Ed25519 and P-521 among it.
        builder.set(DtlsConfig.DTLS_RECOMMENDED_CIPHER_SUITES_ONLY, false);
        builder.set(DtlsConfig.DTLS_RECOMMENDED_CURVES_ONLY, false);
        builder.set(DtlsConfig.DTLS_RECOMMENDED_SIGNATURE_AND_HASH_ALGORITHMS_ONLY, false);
        String suites = options.take("suites");
        if (suites != null) {
            List<CipherSuite> list = new ArrayList<>();
            for (String name : suites.split(",")) {
                list.add(CipherSuite.getTypeByName(name));
            }
            builder.set(DtlsConfig.DTLS_CIPHER_SUITES, list);
        }
        Integer length = options.takeNumber("connection-id");
        if (length != null) {
            builder.set(DtlsConfig.DTLS_CONNECTION_ID_LENGTH, length);
        }
        Integer fragment = options.takeNumber("max-fragment-length");
        if (fragment != null) {
            builder.set(DtlsConfig.DTLS_MAX_FRAGMENT_LENGTH, Length.valueOf("BYTES_" + fragment));
        }
        Integer record = options.takeNumber("record-size-limit");
        if (record != null) {
            builder.set(DtlsConfig.DTLS_RECORD_SIZE_LIMIT, record);
        }
        if (options.takeFlag("no-extended-master-secret")) {
            builder.set(DtlsConfig.DTLS_EXTENDED_MASTER_SECRET_MODE, ExtendedMasterSecretMode.NONE);
        }
        // One handshake message a datagram, from the first flight on.
        if (options.takeFlag("one-message-a-datagram")) {
            builder.set(DtlsConfig.DTLS_USE_MULTI_HANDSHAKE_MESSAGE_RECORDS, false);
            builder.set(DtlsConfig.DTLS_USE_MULTI_RECORD_MESSAGES, false);
            builder.set(DtlsConfig.DTLS_RETRANSMISSION_BACKOFF, 1);
        }
        Certificate[] chain = Credentials.certificates(options.require("certificate"));
        String algorithm = chain[0].getPublicKey().getAlgorithm();
        builder.setCertificateIdentityProvider(new SingleCertificateProvider(
                Credentials.key(options.require("key"), algorithm), chain, CertificateType.X_509));
        builder.setAdvancedCertificateVerifier(StaticNewAdvancedCertificateVerifier.builder()
                .setTrustedCertificates(Credentials.certificates(options.require("trust-anchors")))
                .build());
        return new Connector(builder.build());
    }

    @Override
    protected void onInitializeHandshaker(Handshaker handshaker) {
        handshaker.addSessionListener(new SessionAdapter() {
            @Override
            public void contextEstablished(Handshaker by, DTLSContext context) {
                print(context);
            }

            @Override
            public void handshakeFailed(Handshaker by, Throwable error) {
                Client.print("handshake failed: " + error.getMessage());
            }
        });
    }

    private void print(DTLSContext context) {
        DTLSSession session = context.getSession();
        SessionId id = session.getSessionIdentifier();
        // A session id is the same only if the session was resumed (RFC 5246 §7.3).
        boolean resumed = !id.isEmpty() && id.equals(last);
        last = id;
        Client.print(String.join(" ", Arrays.asList(
                "handshake",
                "resumed=" + resumed,
                "suite=" + session.getCipherSuite(),
                "extended_master_secret=" + session.useExtendedMasterSecret(),
                "connection_ids=" + length(context.getWriteConnectionId()) + "/" + length(context.getReadConnectionId()),
                "fragment_limit=" + session.getEffectiveFragmentLimit())));
    }

    private static String length(ConnectionId id) {
        return id == null ? "none" : Integer.toString(id.length());
    }
}
