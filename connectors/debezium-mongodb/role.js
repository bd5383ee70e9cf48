// The connector's role and user, its signal collection, and whole images of updates. Run once by an administrator:
//   mongosh 'mongodb://db1,db2,db3/admin?replicaSet=rs0' role.js
// Put a password in the place of CHANGE_ME, and your own database in the place of shop. MongoDB 6.0 or later.
const admin = db.getSiblingDB('admin');
admin.createRole({
  role: 'debezium',
  privileges: [
    // Reads the collections and the change stream over this one database.
    { resource: { db: 'shop', collection: '' }, actions: ['find', 'listCollections', 'changeStream'] },
    // Marks of incremental snapshots.
    { resource: { db: 'shop', collection: 'debezium_signal' }, actions: ['find', 'insert', 'remove'] },
    { resource: { cluster: true }, actions: ['listDatabases'] },
    // Of a sharded cluster: where its shards are.
    { resource: { db: 'config', collection: '' }, actions: ['find'] },
  ],
  roles: [],
});
admin.createUser({ user: 'debezium', pwd: 'CHANGE_ME', roles: ['debezium'] });
const shop = db.getSiblingDB('shop');
shop.createCollection('debezium_signal');
// What a document was after each update: without it the connector looks the document up later, when it has changed again.
for (const { name } of shop.getCollectionInfos({ type: 'collection' })) {
  if (name.startsWith('system.')) continue;
  shop.runCommand({ collMod: name, changeStreamPreAndPostImages: { enabled: true } });
}
