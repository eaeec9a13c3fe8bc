import com.amazonaws.services.dynamodbv2.local.main.ServerRunner;
import com.amazonaws.services.dynamodbv2.local.server.DynamoDBProxyServer;
import java.io.IOException;
import java.lang.reflect.Field;
import org.eclipse.jetty.server.Connector;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;

/** DynamoDB Local in memory, on loopback alone, for as long as its standard input is open. */
public final class Launcher {
    public static void main(String[] words) throws Exception {
        Thread watch = new Thread(Launcher::endWithStandardInput, "standard-input");
        watch.setDaemon(true);
        watch.start();
        try {
            DynamoDBProxyServer local = ServerRunner.createServerFromCommandLineArgs(
                    new String[] {"-inMemory", "-disableTelemetry", "-port", words[0]});
            for (Connector connector : jettyOf(local).getConnectors()) {
                ((ServerConnector) connector).setHost("127.0.0.1");
            }
            local.safeStart(); // as start(), but it sends no telemetry and hides no error
            local.join();
        } catch (Throwable problem) {
            problem.printStackTrace();
            System.exit(1);
        }
    }

    private static Server jettyOf(DynamoDBProxyServer local) throws ReflectiveOperationException {
        Field field = DynamoDBProxyServer.class.getDeclaredField("server");
        field.setAccessible(true);
        return (Server) field.get(local);
    }

    private static void endWithStandardInput() {
        try {
            while (System.in.read() != -1) {}
        } catch (IOException closed) {
            // It is as good as its end.
        }
        Runtime.getRuntime().halt(0);
    }
}
